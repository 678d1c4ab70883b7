"""One typed Settings, read once. The environment overrides the file (`$LANDLORD_HOME/config.yaml`), which overrides the
defaults.

Raises SettingsError with one line that names the setting.
"""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from controlplane.errors import SettingsError

PREFIX = "LANDLORD_"
NOT_SETTINGS = ("LANDLORD_SECRET_", "LANDLORD_INTERNAL_")
"""Variables with our prefix that are no settings: secrets for tenants, and variables that `up` sets for its
children."""

RENAMED = {"lost_engines": "lost_platforms"}
"""Old name → new name of a setting. The old name stops the start: if it were ignored, it would silently do nothing."""
GONE = {"process_user": "each `process` tenant has a uid of its own, from LANDLORD_PROCESS_UIDS"}
"""Name of a setting that is gone → its replacement in words. The name stops the start as well."""

SHORTEST_TOKEN = 32
"""Least number of characters of a bearer token. Only its hash is stored, without salt, which is safe only for long
random tokens."""

DEFAULT_SUBNETS = ("10.213.0.0/16",)
"""Enough for 4,096 networks of tenants, in a part of 10.0.0.0/8 that few use."""

Seconds = Annotated[float, Field(gt=0)]


def default_home() -> Path:
    """`/var/lib/landlord` for root, else `~/.landlord`."""
    return Path("/var/lib/landlord") if os.geteuid() == 0 else Path.home() / ".landlord"


class Settings(BaseModel):
    """The effective settings. Field `x_y` is the variable `LANDLORD_X_Y` and the key `x_y` of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path = Field(default_factory=default_home)
    port: int = Field(default=8000, ge=1, le=65535)
    node_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
    """Name of this machine among the nodes of its cluster. None: the machine's own."""
    node_address: str = "127.0.0.1"
    """Where the other machines of the cluster reach this one. Loopback: there are no others."""
    node_tls: bool = True
    """With others: they speak TLS with each other, and so does the API on `node_address`."""
    ray_redis: SecretStr | None = None
    """On the head: a Redis that keeps what Ray knows of the cluster. None: it is in the head's memory."""
    url: str | None = None
    ca: Path | None = None
    """For the client: certificates by which it trusts an https URL, instead of the usual authorities."""
    context: str | None = None
    """For the command: the context (`landlord context list`) that it calls. None: the one in use."""
    tls_cert: Path | None = None
    """The API speaks TLS with this certificate (PEM, followed by its chain) and `tls_key`."""
    tls_key: Path | None = None
    log_format: Literal["json", "console"] = "json"
    database_url: SecretStr | None = None
    database_owner_url: SecretStr | None = None
    """The same database for `landlord up`, as the role that owns its tables. None: the role of `database_url` does."""
    admin_token: SecretStr | None = None
    """For the server: the token named `admin`. None: that of the home, made at the first start."""
    token: SecretStr | None = None
    """The client's bearer, and nothing else. None: the home's admin token."""
    workflow_provider: str = "embedded"
    compute_providers: tuple[str, ...] | None = None
    """None: `process`, and `docker` if its socket answers."""
    restate_ingress_url: str | None = None
    restate_admin_url: str | None = None
    restate_endpoint_url: str | None = None
    """Address at which Restate reaches the control plane's `/restate`. None: on this machine, at `port`."""
    restate_identity_key: str | None = None
    """`publickeyv1_…`: only a server that signs with it may call our endpoint."""
    restate_unsigned: bool = False
    """Without that key, whoever reaches `/restate` could order steps. This allows it for a server on this machine."""
    restate_token: SecretStr | None = None
    """Bearer for Restate's ingress and admin, if they ask for one."""
    stepfunctions_queue_url: str | None = None
    """The SQS queue from which step workers take their work."""
    stepfunctions_role_arn: str | None = None
    """The role that the state machines run as. It may send to that queue."""
    stepfunctions_prefix: str = Field(default="landlord", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    """State machines are named `<prefix>-<action>`: two installations in one account have two prefixes."""
    stepfunctions_assume_role_arn: str | None = None
    """A role that the control plane assumes for its calls. None: the standard credential chain alone."""
    aws_endpoint_url: str | None = None
    actor_idle_seconds: Seconds | Literal["never"] = 60.0
    warm_workers: int = Field(default=2, ge=0, le=64)
    """Processes kept ready for the next tenants' actors, 30 to 45 MB each; 0: none. On each node, or on the head alone
    if a provider's resources live on one machine."""
    sweep_seconds: Seconds = 10.0
    rest_probe_seconds: Seconds = 30.0
    orphan_grace_seconds: Seconds | Literal["never"] = "never"
    """Time after which the supervisor removes an orphan: a resource with our owner label that no row knows."""
    lost_platforms: tuple[str, ...] = ()
    """Identities of platforms that are gone for good (a machine, a Docker Engine). Their resources are made again."""
    node_grace_seconds: Seconds | Literal["never"] = 300.0
    """Time after which a machine of the cluster that does not answer is lost: what ran there is made anew elsewhere."""
    trigger_timeout_seconds: Seconds = 2.0
    step_max_attempts: int = Field(default=5, ge=1, le=100)
    step_timeout_seconds: Seconds = 600.0
    """Bound of one attempt at a step; wait_healthy has the `deadline_seconds` of its spec instead."""
    provision_deadline_seconds: Seconds = 600.0
    event_retention_days: float = Field(default=90, gt=0)
    """The audit trail is kept for this time. A watcher that resumes from an earlier event gets a 410."""
    history_keep: int = Field(default=50, ge=1, le=100_000)
    """The number of executions kept for each tenant, besides those that still matter."""
    deleted_keep_days: float = Field(default=90, gt=0)
    """The days for which the records of deleted tenants, ended clusters and revoked or expired tokens are kept."""
    request_timeout_seconds: Seconds = 20.0
    """Time after which a request without an answer is 503 `overloaded`; `Prefer: wait` adds its own time."""
    rate_limit_per_minute: int | None = Field(default=None, ge=1)
    """Requests of one token at one replica of the API in a minute, with bursts of a sixth of that; None: no limit."""
    metrics_open: bool = False
    """Answer /metrics to everybody who reaches the API, without a token."""
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")
    """A collector that takes OTLP over HTTP, for traces. None: nothing is traced."""
    max_tenants: int = Field(default=1_000_000, ge=1)
    """The number of tenants that are not deleted."""
    max_tenants_per_token: int = Field(default=100_000, ge=1)
    """Of these, the number that one token may have created."""
    max_keys_per_token: int = Field(default=1_000_000, ge=1)
    """The number of Idempotency-Keys that one token may have within 24 hours."""
    process_role: Literal["admin", "operator"] = "admin"
    """The smallest role that may create tenants on the `process` provider: their commands run on this machine."""
    process_uids: str = Field(default="auto", pattern=r"^(auto|[0-9]{1,10}-[0-9]{1,10})$")
    """As root: `FIRST-LAST`, the range of uids (and gids) of which each `process` tenant gets one of its own. `auto`: a
    range that this machine does not use."""
    process_unsafe: bool = False
    """Without root, `process` tenants can only run as we do, with all our rights; this allows it."""
    docker_allow_host_access: bool = False
    """Allow host mounts, host network, privileged containers, and the machine's logs and priorities in docker configs,
    to admins."""
    docker_networks: tuple[str, ...] = ()
    """Names of existing networks that docker tenants may join."""
    docker_publish: tuple[str, ...] = ("127.0.0.1",)
    """Addresses of this machine that docker tenants may publish ports on."""
    docker_address: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.:-]{1,253}$")
    """Name or address at which ports that docker tenants publish are reached from here. None: the host of the Docker
    Engine's own address."""
    docker_registries: tuple[str, ...] | None = None
    """Registries (`ghcr.io`, `ghcr.io/acme`) that images of docker tenants may come from. None: all."""
    docker_subnets: tuple[str, ...] = DEFAULT_SUBNETS
    """IPv4 ranges. Each docker tenant's network gets 16 addresses of one of them."""
    ecs_allow_host_access: bool = False
    """Allow what reaches into container instances (privileged, host namespaces, host volumes, devices, added
    capabilities) in ecs configs, to admins."""
    ecs_roles: tuple[str, ...] = ()
    """Roles that ecs tenants may have assumed for them. `*` in them stands for any text."""
    ecs_task_roles: tuple[str, ...] = ()
    """Task and execution roles that definitions of ecs tenants may name, likewise."""
    ecs_task_definitions: tuple[str, ...] = ()
    """Existing task definitions that ecs tenants may run, likewise."""
    ecs_targets: tuple[str, ...] = ()
    """Target groups, Cloud Map services and Service Connect namespaces that ecs tenants may name, likewise."""
    fake_latency_seconds: float = Field(default=0.0, ge=0)
    """Seconds of each call of the `fake` cloud."""
    fake_failure_rate: float = Field(default=0.0, ge=0, le=1)
    """The share of these calls that fail without their effect."""
    fake_timeout_rate: float = Field(default=0.0, ge=0, le=1)
    """The share of these calls that have their effect and report a failure (ExecuteAndTimeout)."""
    failpoints: Path | None = None
    """Directory of named failpoints, for fault tests only (see `controlplane.failpoints`)."""

    @field_validator(
        "compute_providers",
        "lost_platforms",
        "docker_networks",
        "docker_publish",
        "docker_registries",
        "docker_subnets",
        "ecs_roles",
        "ecs_task_roles",
        "ecs_task_definitions",
        "ecs_targets",
        mode="before",
    )
    @classmethod
    def _comma_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("node_address", mode="after")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            address = ipaddress.IPv4Address(value)
        except ValueError:
            raise ValueError("is an IPv4 address of this machine") from None
        if address.is_unspecified or address.is_multicast:
            raise ValueError("is one address of this machine, by which the others reach it")
        return str(address)

    @field_validator("docker_publish", mode="after")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(ipaddress.ip_address(text)) for text in value)
        except ValueError:
            raise ValueError("is a comma list of IP addresses") from None

    @field_validator("docker_subnets", mode="after")
    @classmethod
    def _ranges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            ranges = [ipaddress.IPv4Network(text) for text in value]
        except ValueError:
            raise ValueError("is a comma list of IPv4 ranges, such as 10.213.0.0/16") from None
        if not ranges or not all(8 <= part.prefixlen <= 28 for part in ranges):
            raise ValueError("needs at least one range, of a size from /8 to /28")
        if any(one.overlaps(other) for index, one in enumerate(ranges) for other in ranges[:index]):
            raise ValueError("has two ranges that overlap")
        return value

    @field_validator("admin_token", mode="after")
    @classmethod
    def _long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and (wrong := token_problem(value.get_secret_value())):
            raise ValueError(wrong)
        return value

    @field_validator("home", "ca", "tls_cert", "tls_key", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value if value is None else value.expanduser().absolute()

    @property
    def idle_seconds(self) -> float | None:
        """None: idle actors stay."""
        return None if self.actor_idle_seconds == "never" else self.actor_idle_seconds

    @property
    def node_grace(self) -> float | None:
        """None: no machine is ever taken for lost."""
        return None if self.node_grace_seconds == "never" else self.node_grace_seconds

    @property
    def orphan_grace(self) -> float | None:
        """None: orphans are reported and stay."""
        return None if self.orphan_grace_seconds == "never" else self.orphan_grace_seconds

    @property
    def tls(self) -> bool:
        return self.tls_cert is not None

    @property
    def alone(self) -> bool:
        """True if no other machine can join this one."""
        return ipaddress.ip_address(self.node_address).is_loopback

    @property
    def nodes_tls(self) -> bool:
        """True if machines speak TLS with each other."""
        return self.node_tls and not self.alone

    @property
    def restate_goes_unsigned(self) -> bool:
        """True if Restate is set up and nothing shows that a call is its own."""
        set_up = self.restate_ingress_url is not None and self.restate_admin_url is not None
        return set_up and self.restate_identity_key is None

    @property
    def own_url(self) -> str:
        """The address of this home's API on this machine."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The address that the command line and the client call."""
        return self.url or self.own_url

    def masked(self) -> dict[str, Any]:
        """The settings for people: secrets are stars."""
        return self.model_dump(mode="json")


def token_problem(token: str) -> str | None:
    """The reason why this cannot be an admin token. None: it can."""
    if len(token) < SHORTEST_TOKEN:
        return f"a token needs {SHORTEST_TOKEN} characters at least, this one has {len(token)}: `openssl rand -hex 32`"
    if not token.isascii() or not token.isprintable() or " " in token:
        return "a token is of visible ASCII characters: `openssl rand -hex 32`"
    return None


def is_loopback(url: str) -> bool:
    """True if the URL's host is this machine itself, by a name or an address that cannot be another's."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def schema_of(prefix: str) -> dict[str, Any]:
    """JSON Schema 2020-12 of the settings with this prefix, as keys of the file."""
    properties = Settings.model_json_schema()["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {name: schema for name, schema in properties.items() if name.startswith(prefix)},
    }


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Raises SettingsError for an unknown or malformed variable or key, or an unreadable file."""
    environ = os.environ if environ is None else environ
    from_env = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and not name.startswith(NOT_SETTINGS) and value != ""
    }
    for key in from_env:
        if key in RENAMED:
            raise SettingsError(f"{PREFIX}{key.upper()} is now called {PREFIX}{RENAMED[key].upper()}")
        if key in GONE:
            raise SettingsError(f"{PREFIX}{key.upper()} is no longer a setting: {GONE[key]}")
        if key not in Settings.model_fields:
            raise SettingsError(f"{PREFIX}{key.upper()} is not a setting; `landlord config show` lists them")
    home = Path(from_env.get("home", default_home())).expanduser().absolute()
    from_file = _read_file(home / "config.yaml")
    try:
        settings = Settings.model_validate({**from_file, **from_env, "home": home})
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        origin = f"{PREFIX}{key.upper()}" if key in from_env else f"{key} in {home / 'config.yaml'}"
        raise SettingsError(f"{origin}: {first['msg'].removeprefix('Value error, ')}") from None
    if contradiction := _contradiction(settings):
        raise SettingsError(contradiction)
    return settings


def _contradiction(settings: Settings) -> str | None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        return "LANDLORD_TLS_CERT and LANDLORD_TLS_KEY go together: set both or neither"
    if settings.database_owner_url is not None and settings.database_url is None:
        return "LANDLORD_DATABASE_OWNER_URL goes with LANDLORD_DATABASE_URL: the embedded Postgres has both roles"
    if not settings.alone and settings.database_url is None:
        return (
            "LANDLORD_NODE_ADDRESS: no other machine reaches the embedded Postgres; give LANDLORD_DATABASE_URL, a "
            "Postgres that every machine of the cluster reaches"
        )
    if settings.ray_redis is not None and settings.alone:
        return "LANDLORD_RAY_REDIS goes with LANDLORD_NODE_ADDRESS: a machine that is alone is its own head"
    if settings.process_unsafe and settings.process_role != "admin" and os.geteuid() != 0:
        return (
            "LANDLORD_PROCESS_ROLE: with LANDLORD_PROCESS_UNSAFE, a `process` tenant has all rights of the control "
            "plane, so only `admin` may create one"
        )
    if settings.tls and settings.restate_admin_url is not None and settings.restate_endpoint_url is None:
        return "LANDLORD_RESTATE_ENDPOINT_URL: with TLS, say by which https URL Restate reaches this control plane"
    return _unsigned_restate(settings)


def _unsigned_restate(settings: Settings) -> str | None:
    """A Restate server that does not sign: only on this machine, and only if that is wanted."""
    if not settings.restate_goes_unsigned:
        return None
    if not settings.restate_unsigned:
        return (
            "LANDLORD_RESTATE_IDENTITY_KEY: give the key with which Restate signs, or whoever reaches /restate can "
            "order steps; for a server on this machine, LANDLORD_RESTATE_UNSIGNED=true goes without"
        )
    urls = (settings.restate_ingress_url, settings.restate_admin_url, settings.restate_endpoint_url)
    far = [url for url in urls if url is not None and not is_loopback(url)]
    return f"LANDLORD_RESTATE_UNSIGNED: {far[0]} is elsewhere; give LANDLORD_RESTATE_IDENTITY_KEY" if far else None
    return None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold settings as `name: value` lines")
    for key in content:
        if key in RENAMED:
            raise SettingsError(f"{key} in {path} is now called {RENAMED[key]}")
        if key in GONE:
            raise SettingsError(f"{key} in {path} is no longer a setting: {GONE[key]}")
        if key not in Settings.model_fields or key == "home":
            raise SettingsError(f"{key} in {path} is not a setting; `landlord config show` lists them")
    return content
