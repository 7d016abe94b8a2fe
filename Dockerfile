# The Python that the tests run on. Everything is installed in the first stage, so the second has no cache and no pip
# of its own work, and nothing in it is writable for the user that runs it.
FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

RUN python -m venv /opt/gateway

# Only wheels whose hashes are in the lock: nothing is compiled, and nothing else gets in.
COPY requirements/run.txt /tmp/run.txt
RUN /opt/gateway/bin/python -m pip install --require-hashes --only-binary=:all: -r /tmp/run.txt

# What builds the wheel is no part of the image.
COPY requirements/build.txt /tmp/build.txt
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes --only-binary=:all: -r /tmp/build.txt

WORKDIR /src
COPY pyproject.toml README.md LICENSE worker_api_gateway.py ./
COPY gateway gateway
COPY bridge bridge
COPY web web
COPY templates templates
COPY static static
# `gateway sandbox` is a part of the command; it can start nothing in here.
COPY sandbox sandbox

# Installed as the wheel, so that pip knows it where an image adds topics, and compiled, as nothing can be written later.
# The constraints hold such an image to the libraries that are tested.
RUN /opt/build/bin/python -m hatchling build -t wheel -d /tmp/wheel \
    && /opt/gateway/bin/python -m pip install --no-index --no-deps /tmp/wheel/*.whl \
    && /opt/gateway/bin/python -m pip list --format=freeze --exclude pip --exclude setuptools > /opt/gateway/constraints.txt

# An image without topics of its own works the two of the older gateway.
WORKDIR /app
COPY topics topics
RUN /opt/gateway/bin/python -m compileall -q /app


FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="Worker API Gateway" \
      org.opencontainers.image.description="A durable bridge between Camunda 7 external tasks and Python handlers"

ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONUNBUFFERED=1

RUN groupadd --gid 10001 gateway \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin gateway

COPY --from=build /opt/gateway /opt/gateway
COPY --from=build /app /app

WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

# Whether the process lives, not whether its servers do: a restart mends no outage of the engine. Not by urllib, which
# would ask a proxy of the environment.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", "\
import http.client, os, sys\n\
c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8000), timeout=4)\n\
c.request('GET', '/health/live')\n\
sys.exit(c.getresponse().status != 200)"]

ENTRYPOINT ["gateway"]
CMD ["serve"]
