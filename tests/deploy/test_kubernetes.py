"""The manifests for Kubernetes, as kustomize renders them: they fit the schemas, and hold what production asks for."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]

from bridge.registry import load_topics
from gateway.settings import Settings
from tests.deploy.kustomize import KUBERNETES, kustomize, render

SCHEMAS: Final = Path(__file__).parent / "schemas"
CORE: Final[dict[str, Any]] = json.loads((SCHEMAS / "kubernetes-1.34.json").read_text(encoding="utf-8"))
OVERLAYS: Final = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
WORKERS: Final = sorted(path.name for path in (KUBERNETES / "workers").iterdir())
TOPIC: Final = "worker-api-gateway/topic"
NAME: Final = "app.kubernetes.io/name"
PAUSE, OWN_END = 5, 15
"""Seconds before SIGTERM, and after SHUTDOWN_GRACE: gateway/shutdown.py."""

MISSPELT: Final[Sequence[tuple[str, tuple[str, ...], Mapping[str, object]]]] = [
    ("Deployment", ("spec", "template", "spec"), {"terminationGracePeriodSecond": 5}),
    ("NetworkPolicy", ("spec",), {"podselector": {}}),
    ("ScaledObject", ("spec",), {"minReplicas": 0}),
    ("PodMonitor", ("spec",), {"endpoints": []}),
    ("PrometheusRule", ("spec",), {"rules": []}),
]
Rendered = Mapping[str, list[dict[str, Any]]]


@pytest.fixture(scope="session")
def rendered() -> Rendered:
    program = kustomize()
    return {overlay: render(program, f"overlays/{overlay}") for overlay in OVERLAYS}


def schema_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = manifest["kind"]
    if kind in CORE["kinds"]:
        return {"$ref": f"#/$defs/{CORE['kinds'][kind]}", "$defs": CORE["$defs"]}
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{kind}.json").read_text(encoding="utf-8"))
    return schema


def faults(manifest: Mapping[str, Any]) -> list[str]:
    validator = jsonschema_rs.Draft202012Validator(dict(schema_of(manifest)))
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(manifest)]


def of_kind(manifests: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


def pods(manifests: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, manifest in of_kind(manifests, "Deployment").items():
        yield name, manifest["spec"]["template"]["spec"]


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container.get("env", ())}


def selects(selector: Mapping[str, str], manifest: Mapping[str, Any]) -> bool:
    labels: dict[str, str] = manifest["spec"]["template"]["metadata"]["labels"]
    return selector.items() <= labels.items()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_fits_its_schema(rendered: Rendered, overlay: str) -> None:
    for manifest in rendered[overlay]:
        assert faults(manifest) == [], (manifest["kind"], manifest["metadata"]["name"])


def test_the_schemas_find_a_field_that_is_misspelt(rendered: Rendered) -> None:
    for kind, path, wrong in MISSPELT:
        manifest = copy.deepcopy(next(iter(of_kind(rendered["production"], kind).values())))
        place: dict[str, Any] = manifest
        for part in path:
            place = place[part]
        place.update(wrong)
        assert len(faults(manifest)) == 1, kind


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_container_may_do_more_than_it_needs(rendered: Rendered, overlay: str) -> None:
    for name, pod in pods(rendered[overlay]):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        user = pod["securityContext"]
        assert (user["runAsNonRoot"], user["runAsUser"], user["seccompProfile"]) == (
            True, 10001, {"type": "RuntimeDefault"}
        )  # fmt: skip
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
            resources = container["resources"]
            assert set(resources["requests"]) == {"cpu", "memory"}
            assert set(resources["limits"]) == {"memory"}, "a throttled event loop renews locks late"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_for_what_the_pod_is_there_for(rendered: Rendered, overlay: str) -> None:
    for name, pod in pods(rendered[overlay]):
        (container,) = pod["containers"]
        purpose = "work" if container["args"] == ["worker"] else "http"
        assert container["readinessProbe"]["httpGet"]["path"] == f"/health/ready?for={purpose}", name
        assert container["livenessProbe"]["httpGet"]["path"] == "/health/live", name
        assert container["startupProbe"]["httpGet"]["path"] == "/health/live", name
        port = variables(container).get("METRICS_PORT" if purpose == "work" else "PORT")
        assert [str(each["containerPort"]) for each in container["ports"]] == [port], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_has_time_to_end_in_good_order(rendered: Rendered, overlay: str) -> None:
    manifests = rendered[overlay]
    (settings,) = of_kind(manifests, "ConfigMap").values()
    grace = int(settings["data"]["SHUTDOWN_GRACE"])
    for name, pod in pods(manifests):
        pause = PAUSE if "lifecycle" in pod["containers"][0] else 0
        assert pod["terminationGracePeriodSeconds"] >= grace + OWN_END + pause, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_named_and_never_written(rendered: Rendered, overlay: str) -> None:
    manifests = rendered[overlay]
    assert of_kind(manifests, "Secret") == {}
    (settings,) = of_kind(manifests, "ConfigMap").values()
    known = {name.upper() for name in Settings.model_fields}
    secret = {name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert "MONGODB_URI" in secret
    assert settings["data"].keys() <= known - secret
    for _, pod in pods(manifests):
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert variables(container).keys() <= known - secret
            (by_map, by_secret) = container["envFrom"]
            assert by_map["configMapRef"]["name"] == settings["metadata"]["name"]
            assert by_secret["secretRef"]["name"] == "gateway-secrets"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_what_they_are_for(rendered: Rendered, overlay: str) -> None:
    manifests = rendered[overlay]
    deployments = of_kind(manifests, "Deployment")
    for manifest in deployments.values():
        assert selects(manifest["spec"]["selector"]["matchLabels"], manifest)
    for name, budget in of_kind(manifests, "PodDisruptionBudget").items():
        found = [key for key, one in deployments.items() if selects(budget["spec"]["selector"]["matchLabels"], one)]
        assert found == [name]
    (service,) = of_kind(manifests, "Service").values()
    assert [name for name, one in deployments.items() if selects(service["spec"]["selector"], one)] == ["gateway"]
    (policy,) = of_kind(manifests, "NetworkPolicy").values()
    assert policy["spec"]["podSelector"]["matchLabels"] == {NAME: "worker-api-gateway"}
    assert all(selects({NAME: "worker-api-gateway"}, one) for one in deployments.values())


def test_production_survives_the_drain_of_a_node(rendered: Rendered) -> None:
    manifests = rendered["production"]
    budgets, deployments = of_kind(manifests, "PodDisruptionBudget"), of_kind(manifests, "Deployment")
    assert budgets.keys() == deployments.keys()
    assert deployments["gateway"]["spec"]["replicas"] >= 2
    assert all(one["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0 for one in deployments.values())


def test_every_pod_of_production_begins_with_the_doctor(rendered: Rendered) -> None:
    for name, pod in pods(rendered["production"]):
        (doctor,) = pod["initContainers"]
        assert doctor["args"] == ["doctor"], name
        assert doctor["image"] == pod["containers"][0]["image"]


@pytest.mark.parametrize("folder", WORKERS)
def test_the_workers_of_a_topic_are_scaled_by_its_backlog(rendered: Rendered, folder: str) -> None:
    name = f"worker-{folder}"
    worker = of_kind(rendered["production"], "Deployment")[name]
    scaled = of_kind(rendered["production"], "ScaledObject")[name]["spec"]
    topic = variables(worker["spec"]["template"]["spec"]["containers"][0])["SUPPORTED_TOPICS"]
    assert topic.replace("_", "-") == folder
    assert topic in load_topics("topics").names
    assert worker["spec"]["selector"]["matchLabels"][TOPIC] == topic
    assert "replicas" not in worker["spec"], "an apply would set back what KEDA has set"
    assert scaled["scaleTargetRef"] == {"name": name}
    assert scaled["minReplicaCount"] == 0
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["query"] == f'max(gateway_engine_open_tasks{{topic="{topic}"}})'
    assert trigger["metadata"]["ignoreNullValues"] == "false", "no answer is not zero tasks"
    assert scaled["fallback"]["behavior"] == "currentReplicas"


def test_metrics_are_scraped_as_the_alerts_ask_for_them(rendered: Rendered) -> None:
    (monitor,) = of_kind(rendered["production"], "PodMonitor").values()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert {"action": "replace", "targetLabel": "job", "replacement": "gateway"} in endpoint["relabelings"]
    for _, pod in pods(rendered["production"]):
        assert endpoint["port"] in [port["name"] for port in pod["containers"][0]["ports"]]


def test_the_rules_of_the_operator_are_those_of_prometheus(rendered: Rendered) -> None:
    (rule,) = of_kind(rendered["production"], "PrometheusRule").values()
    alerts = yaml.safe_load((KUBERNETES.parent / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    assert rule["spec"] == alerts, "run `make rules`"


def test_the_manual_names_what_there_is() -> None:
    text = (KUBERNETES.parents[1] / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
    for folder in ("overlays", "components"):
        for path in (KUBERNETES / folder).iterdir():
            assert f"{folder}/{path.name}" in text, path
