"""Every setting of the gateway, read from the environment. Values only: nothing is built or connected here."""

from __future__ import annotations

import os
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from bridge.domain.addresses import fault_of
from bridge.domain.errors import SetupError
from bridge.domain.variables import EngineFormat
from gateway.secret_files import SecretFiles, UnusableFile
from gateway.setting_faults import SECONDS, fault_text
from gateway.settings_file import USUAL, settings_file

_NAMES: Final = TypeAdapter(list[str])
Seconds = Annotated[float, SECONDS]


class Role(StrEnum):
    """What a process does: serve HTTP, fetch and relay tasks, or run handlers."""

    WEB = "web"
    INTAKE = "intake"
    WORK = "work"


class Settings(BaseSettings):
    """The gateway's settings; each field is the environment variable of the same name in capitals. Times in seconds."""

    model_config = SettingsConfigDict(env_file=USUAL, extra="ignore", frozen=True, env_ignore_empty=True)

    host: str = "0.0.0.0"  # noqa: S104 - a container publishes what it wants published
    port: int = Field(default=8000, ge=0, le=65535)
    debug: bool = False
    environment: str | None = Field(default=None, max_length=32)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"

    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    trace_sampling: float = Field(default=1.0, ge=0, le=1)
    jaeger_ui_url: str | None = None
    cockpit_url: str | None = None

    auth: Literal["required", "open"] = "required"
    gateway_admin_user: str | None = None
    gateway_admin_password: SecretStr | None = None
    session_lifetime: Seconds = Field(default=36_000, ge=60, le=43_200)
    insecure_cookies: bool = False
    rate_limit_key: int = Field(default=60_000, ge=0)
    rate_limit_address: int = Field(default=120_000, ge=0)
    connection_limit: int = Field(default=2000, ge=10)
    connection_limit_address: int = Field(default=500, ge=1)
    allowed_hosts: Annotated[tuple[str, ...] | None, NoDecode] = None
    trusted_proxies: Annotated[tuple[str, ...] | None, NoDecode] = None
    metrics_open: bool = True
    public_url: str | None = None
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_ca_file: str | None = None
    oidc_scopes: str = "openid profile email"
    oidc_name_claim: str = "preferred_username"
    oidc_role_claim: str = "groups"
    oidc_viewers: Annotated[tuple[str, ...] | None, NoDecode] = None
    oidc_operators: Annotated[tuple[str, ...] | None, NoDecode] = None
    oidc_admins: Annotated[tuple[str, ...] | None, NoDecode] = None
    oidc_topic_claim: str | None = None
    oidc_hide_local_login: bool = False
    alpine_url: str | None = Field(default=None, pattern=r"^(https?://|/)[A-Za-z0-9._~/@:%-]+$")
    alpine_integrity: str | None = Field(default=None, pattern=r"^sha(256|384|512)-[A-Za-z0-9+/=]+$")

    camunda_url: str = "http://localhost:8080/engine-rest"
    camunda_username: str | None = None
    camunda_password: SecretStr | None = None
    camunda_token: SecretStr | None = None
    camunda_oauth_token_url: str | None = None
    camunda_oauth_client_id: str | None = None
    camunda_oauth_client_secret: SecretStr | None = None
    camunda_oauth_scope: str | None = None
    camunda_oauth_audience: str | None = None
    camunda_oauth_client_authentication: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    camunda_oauth_ca_file: str | None = None
    camunda_headers: SecretStr | None = None
    camunda_ca_file: str | None = None
    camunda_cert_file: str | None = None
    camunda_key_file: str | None = None
    camunda_key_password: SecretStr | None = None
    camunda_connections: int = Field(default=16, ge=2, le=256)
    camunda_timeout: Seconds = Field(default=30, gt=0, le=3600)
    camunda_timeout_max: Seconds = Field(default=600, gt=0, le=86_400)
    engine_timezone: str = "UTC"
    engine_string_limit: int = Field(default=4000, ge=100, le=1_000_000)
    engine_answer_limit: int = Field(default=20_000_000, ge=1024, le=1_000_000_000)

    mongodb_uri: SecretStr = SecretStr("mongodb://localhost:27017")
    mongodb_database: str = Field(default="worker_gateway", min_length=1)
    mongodb_ca_file: str | None = None
    mongodb_cert_file: str | None = None
    mongodb_key_file: str | None = None
    mongodb_key_password: SecretStr | None = None
    rabbitmq_url: SecretStr = SecretStr("amqp://guest:guest@localhost:5672/")
    rabbitmq_exchange: str = Field(default="worker.gateway", min_length=1, max_length=200)
    rabbitmq_ca_file: str | None = None
    rabbitmq_cert_file: str | None = None
    rabbitmq_key_file: str | None = None
    rabbitmq_key_password: SecretStr | None = None

    supported_topics: Annotated[tuple[str, ...] | None, NoDecode] = None
    topics_package: str = "topics"
    task_timeout: Seconds = Field(default=300, gt=0, lt=86_400)
    task_retry_limit: int = Field(default=3, ge=0)
    retry_delay: Seconds = Field(default=5, gt=0, le=3600)
    retry_delay_max: Seconds = Field(default=300, gt=0, le=86_400)
    lost_claim_limit: int = Field(default=5, ge=1)

    lock_duration: Seconds = Field(default=60, ge=1, le=3600)
    claim_duration: Seconds = Field(default=20, ge=1, le=3600)
    poll_wait: Seconds = Field(default=10, ge=0, le=10)
    fetch_size: int = Field(default=500, ge=1, le=1000)
    backlog_limit: int = Field(default=500, ge=1)
    received_limit: int = Field(default=5000, ge=1)
    stale_after: Seconds = Field(default=60, gt=0, le=3600)
    sweep_every: Seconds = Field(default=1, gt=0, le=300)
    report_within: Seconds = Field(default=30, gt=0, le=3600)
    retention_days: float = Field(default=30, gt=0, le=3650)
    audit_days: float = Field(default=400, gt=0, le=3650)
    publish_timeout: Seconds = Field(default=10, gt=0, le=300)
    report_retry_delay: Seconds = Field(default=1, gt=0, le=300)
    report_retry_delay_max: Seconds = Field(default=60, gt=0, le=3600)
    report_limit: int = Field(default=12, ge=1)
    report_concurrency: int = Field(default=32, ge=1)
    shutdown_grace: Seconds = Field(default=25, ge=0, le=3600)
    body_limit: int = Field(default=10_000_000, ge=1024)
    document_limit: int = Field(default=15_000_000, ge=1024, le=16_000_000)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - its folder has a file of a fixed name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, the first before all others."""
        given: dict[str, str | None] = {}
        for source in (dotenv_settings, env_settings):
            if isinstance(source, EnvSettingsSource):
                given.update(source.env_vars)
        return SecretFiles(settings_cls, given), init_settings, env_settings, dotenv_settings

    @field_validator("*", mode="before")
    @classmethod
    def _usable(cls, value: object) -> object:
        if isinstance(value, UnusableFile):
            raise ValueError(value.fault)  # noqa: TRY004 - what pydantic takes for an invalid value
        return value

    @field_validator(
        "supported_topics",
        "trusted_proxies",
        "allowed_hosts",
        "oidc_viewers",
        "oidc_operators",
        "oidc_admins",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str) and value.lstrip().startswith("["):
            return tuple(_NAMES.validate_json(value)) or None  # for names with a comma, or a space at an end
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip()) or None
        return value

    @field_validator("host")
    @classmethod
    def _address(cls, value: str) -> str:
        if not value.strip(" ,"):
            raise ValueError("names no address: 0.0.0.0 for IPv4, 0.0.0.0,:: for IPv4 and IPv6")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for network in value or ():
            ip_network(network)  # raises ValueError; `*` is none, as everybody could then claim any address
        return value

    @field_validator("engine_timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is no time zone: name one as in America/Sao_Paulo") from None
        return value

    @field_validator("jaeger_ui_url", "cockpit_url")
    @classmethod
    def _trim_ui(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://, as in http://localhost:16686")
        return None if value is None else value.rstrip("/")

    @field_validator("public_url", "oidc_issuer")
    @classmethod
    def _trim_own(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        local = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
        if not parts.hostname or not (parts.scheme == "https" or local) or parts.query or parts.fragment:
            raise ValueError("must be an https address without ? and #, as in https://gateway.example.com")
        return value.rstrip("/")

    @field_validator("camunda_url")
    @classmethod
    def _trim(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://, as in http://camunda:8080/engine-rest")
        _require_usable(value, ("http", "https"))
        return value.rstrip("/")

    @field_validator("camunda_oauth_token_url")
    @classmethod
    def _token_url(cls, value: str | None) -> str | None:
        if value is not None:
            _require_usable(value, ("http", "https"))
            if urlsplit(value).username is not None:
                raise ValueError("it has credentials in it: put them into CAMUNDA_OAUTH_CLIENT_ID and its secret")
        return value

    @field_validator("rabbitmq_url")
    @classmethod
    def _broker(cls, value: SecretStr) -> SecretStr:
        _require_usable(value.get_secret_value(), ("amqp", "amqps"))
        return value

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        if self.claim_duration > self.lock_duration:
            raise ValueError("CLAIM_DURATION must not exceed LOCK_DURATION, or a renewal comes too late for the lock")
        if self.retry_delay > self.retry_delay_max:
            raise ValueError("RETRY_DELAY must not exceed RETRY_DELAY_MAX, the longest that it grows to")
        if self.report_retry_delay > self.report_retry_delay_max:
            raise ValueError("REPORT_RETRY_DELAY must not exceed REPORT_RETRY_DELAY_MAX, the longest that it grows to")
        if self.engine_answer_limit < self.document_limit:
            raise ValueError("ENGINE_ANSWER_LIMIT must not be below DOCUMENT_LIMIT, or one task is more than is read")
        if (self.gateway_admin_user is None) != (self.gateway_admin_password is None):
            raise ValueError("GATEWAY_ADMIN_USER and GATEWAY_ADMIN_PASSWORD belong together: set both, or neither")
        if self.alpine_integrity is not None and self.alpine_url is None:
            raise ValueError("ALPINE_INTEGRITY is the hash of a copy that ALPINE_URL names: set both, or neither")
        if self.oidc_issuer is not None:
            if self.oidc_client_id is None or self.public_url is None:
                raise ValueError(
                    "OIDC_ISSUER needs OIDC_CLIENT_ID, and PUBLIC_URL to which the provider sends people back"
                )
            if not (self.oidc_viewers or self.oidc_operators or self.oidc_admins):
                raise ValueError("OIDC_VIEWERS, OIDC_OPERATORS or OIDC_ADMINS must name a value of the role claim")
            if "openid" not in self.oidc_scopes.split():
                raise ValueError("OIDC_SCOPES must have openid among its scopes")
        elif self.oidc_hide_local_login:
            raise ValueError("OIDC_HIDE_LOCAL_LOGIN needs OIDC_ISSUER: without it nobody could log in")
        return self

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that HTTP is served on: those of HOST."""
        return tuple(part.strip().strip("[]") for part in self.host.split(",") if part.strip())

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """The allowed values of `Host`; None allows all, which is safe only where every request is authenticated."""
        if self.allowed_hosts is None and self.auth == "open":
            return ("localhost", *self.addresses)
        return self.allowed_hosts

    @property
    def engine_format(self) -> EngineFormat:
        """How values are written for the engine."""
        return EngineFormat(ZoneInfo(self.engine_timezone), self.engine_string_limit)

    @property
    def lock(self) -> timedelta:
        """How long a fetch locks a task, for topics without a duration of their own."""
        return timedelta(seconds=self.lock_duration)

    @property
    def claim(self) -> timedelta:
        """How long a claim holds without a renewal by the process that runs the handler."""
        return timedelta(seconds=self.claim_duration)


def _require_usable(address: str, schemes: tuple[str, ...]) -> None:
    fault = fault_of(address, schemes)
    if fault is not None:
        raise ValueError(fault)


def read_settings(**overrides: object) -> Settings:
    """Read the environment and the file of settings; raise `SetupError` naming every variable that is not usable."""
    file = settings_file(os.environ)
    try:
        return Settings(_env_file=file, **overrides)  # type: ignore[arg-type]  # pydantic checks the values
    except ValidationError as error:
        problems = "; ".join(_told(fault) for fault in error.errors(include_url=False))
        raise SetupError(f"settings can't be used: {problems}") from None


def _told(fault: ErrorDetails) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    return f"{name.upper() or 'settings'}: {fault_text(Settings.model_fields.get(name), fault)}"
