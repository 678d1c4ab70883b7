"""A compose service as a spec on `docker`, and what of it is left over."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.cli.compose.document import as_mapping, as_table
from controlplane.cli.compose.errors import ComposeError
from controlplane.cli.compose.leftovers import Leftover, Leftovers
from controlplane.cli.compose.mounts import Mounts
from controlplane.cli.compose.ports import ports
from controlplane.cli.compose.probes import health
from controlplane.cli.compose.quantities import mebibytes, number, seconds, switch, text, texts, whole
from controlplane.cli.compose.source import Source
from controlplane.cli.compose.texts import DEPLOY, INSTEAD, SILENT

__all__ = ["Leftover", "Translation", "translate"]

MOST_GRACE = 300
LEAST_MEMORY = 6
PULLS = {"always": "always", "never": "never", "missing": "missing", "if_not_present": "missing"}
RESTARTS = ("no", "always", "on-failure", "unless-stopped")
KEPT_LOGS = frozenset({"json-file", "local", "none"})
"""Drivers that need nothing of the machine."""
OURS = "landlord."


@dataclass(frozen=True, slots=True)
class Translation:
    """`spec`: of a tenant. `leftovers`: what it does not have of the service."""

    spec: dict[str, Any]
    leftovers: list[Leftover]


def translate(name: str, service: Mapping[str, Any], volumes: Mapping[str, Any], source: Source) -> Translation:
    """`name` and `service`: as `find_service` gives them. `volumes`: those that the file declares. Raises
    ComposeError."""
    return _Service(name, service, volumes, source).translated()


class _Service:
    """Collects the config key by key. A key that is null counts as left out."""

    def __init__(self, name: str, service: Mapping[str, Any], volumes: Mapping[str, Any], source: Source) -> None:
        self._left = Leftovers(name)
        self._service = service
        self._source = source
        self._config: dict[str, Any] = {}
        self._resources: dict[str, int] = {}
        self._mounts = Mounts(volumes, self._left)
        self._health: dict[str, Any] = {}
        self._verbs: Mapping[str, Callable[[Any], None]] = {
            "command": lambda value: self._words("command", value),
            "cpus": self._cpus,
            "deploy": self._deploy,
            "dns": lambda value: self._set("dns", texts(value, self._left.key("dns"))),
            "entrypoint": lambda value: self._words("entrypoint", value),
            "env_file": self._env_file,
            "environment": self._environment,
            "extra_hosts": self._extra_hosts,
            "gpus": self._gpus,
            "group_add": lambda value: self._set("group_add", texts(value, self._left.key("group_add"))),
            "healthcheck": self._healthcheck,
            "hostname": lambda value: self._set("hostname", text(value)),
            "image": lambda value: self._set("image", text(value)),
            "init": lambda value: self._switch("init", value),
            "labels": self._labels,
            "logging": self._logging,
            "mem_limit": self._memory,
            "network_mode": self._network_mode,
            "networks": self._networks,
            "pids_limit": self._pids,
            "ports": lambda value: self._set("ports", ports(value, self._left)),
            "privileged": self._privileged,
            "pull_policy": self._pull_policy,
            "read_only": lambda value: self._switch("read_only", value),
            "restart": self._restart,
            "scale": self._scale,
            "security_opt": self._security_opt,
            "shm_size": lambda value: self._set("shm_size_mib", mebibytes(value, self._left.key("shm_size"))),
            "stdin_open": lambda value: self._left_if_on("stdin_open", value),
            "stop_grace_period": self._grace,
            "stop_signal": lambda value: self._set("stop_signal", text(value)),
            "tmpfs": self._mounts.add_tmpfs,
            "tty": lambda value: self._left_if_on("tty", value),
            "ulimits": self._ulimits,
            "user": lambda value: self._set("user", text(value)),
            "volumes": self._mounts.add_volumes,
            "working_dir": self._working_dir,
        }

    def translated(self) -> Translation:
        # What `environment` says counts more than an env file, and `resources` of `deploy` more than the older keys.
        first = ("image", "env_file", "environment", "cpus", "mem_limit", "pids_limit")
        for key in (
            *(key for key in first if key in self._service),
            *(key for key in self._service if key not in first),
        ):
            self._carry(key, self._service[key])
        if "image" not in self._config and "build" not in self._service:
            raise ComposeError(self._left.key("image"), "is not there; name the image")
        for name in sorted(self._source.unset):
            self._left.add(f"${{{name}}}", "is not set here, so it is empty; set it before the command, or in .env")
        if self._resources:
            self._config["resources"] = self._resources
        if self._mounts.volumes:
            self._config["volumes"] = self._mounts.volumes
        if self._mounts.tmpfs:
            self._config["tmpfs"] = self._mounts.tmpfs
        spec: dict[str, Any] = {"compute": {"provider": "docker", "config": self._config}}
        if self._health:
            spec["health"] = self._health
        return Translation(spec, self._left.found)

    def _carry(self, key: str, value: Any) -> None:
        if value is None or key in SILENT or key.startswith("x-"):
            return
        if key in self._verbs:
            self._verbs[key](value)
        elif key in INSTEAD:
            self._left.add(key, INSTEAD[key])
        else:
            self._left.add(key, "is no key of a compose service that is known here; is it spelt right?")

    def _set(self, name: str, value: Any) -> None:
        if value not in (None, "", [], {}):
            self._config[name] = value

    def _switch(self, name: str, value: Any) -> None:
        if switch(value, self._left.key(name)):
            self._config[name] = True

    def _left_if_on(self, key: str, value: Any) -> None:
        if switch(value, self._left.key(key)):
            self._left.add(key, INSTEAD[key])

    def _words(self, key: str, value: Any) -> None:
        if value in ("", []):
            self._left.add(key, "the image's own cannot be taken away; give another one")
            return
        self._set(key, value if isinstance(value, str) else texts(value, self._left.key(key)))

    def _environment(self, value: Any) -> None:
        self._variables("environment", as_table(value, self._left.key("environment")))

    def _env_file(self, value: Any) -> None:
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            path = item.get("path") if isinstance(item, Mapping) else item
            required = switch(item.get("required", True), "env_file") if isinstance(item, Mapping) else True
            try:
                lines = self._source.read(str(path))
            except (OSError, UnicodeDecodeError):
                if required:
                    raise ComposeError(self._left.key(f"env_file.{index}"), f"{path} cannot be read") from None
                continue
            self._variables(f"env_file.{index}", self._source.variables(lines, str(path)))

    def _variables(self, key: str, found: Mapping[str, Any]) -> None:
        env = self._config.get("env", {})
        for name, value in found.items():
            known = self._source.environ.get(name) if value is None else text(value)
            if known is None:
                self._left.add(f"{key}.{name}", f"has no value here: --set spec.compute.config.env.{name}=VALUE")
            else:
                env[name] = known
        self._set("env", env)

    def _labels(self, value: Any) -> None:
        labels = {
            name: "" if given is None else text(given)
            for name, given in as_table(value, self._left.key("labels")).items()
        }
        for name in [name for name in labels if name.lower().startswith(OURS)]:
            self._left.add(f"labels.{name}", f"labels with {OURS} are Landlord's own")
            del labels[name]
        self._set("labels", labels)

    def _extra_hosts(self, value: Any) -> None:
        lines = []
        for name, addresses in as_table(value, self._left.key("extra_hosts")).items():
            for address in addresses if isinstance(addresses, list) else [addresses]:
                lines.append(f"{name}:{text(address)}")
        self._set("extra_hosts", lines)

    def _ulimits(self, value: Any) -> None:
        self._set(
            "ulimits",
            {
                name: {kind: whole(one, self._left.key(f"ulimits.{name}")) for kind, one in limit.items()}
                if isinstance(limit, Mapping)
                else whole(limit, self._left.key(f"ulimits.{name}"))
                for name, limit in as_mapping(value, self._left.key("ulimits")).items()
            },
        )

    def _logging(self, value: Any) -> None:
        value = as_mapping(value, self._left.key("logging"))
        options = as_mapping(value.get("options") or {}, self._left.key("logging.options"))
        driver = value.get("driver", "json-file")
        if driver not in KEPT_LOGS:
            self._left.add(
                "logging",
                f"the driver {driver} takes LANDLORD_DOCKER_ALLOW_HOST_ACCESS and an admin: "
                f"--set spec.compute.config.log_driver={driver}",
            )
            return
        if "driver" in value:
            self._config["log_driver"] = driver
        self._set("log_options", {name: text(option) for name, option in options.items()})

    def _healthcheck(self, value: Any) -> None:
        self._health = health(value, self._left)

    def _grace(self, value: Any) -> None:
        asked = math.ceil(seconds(value, self._left.key("stop_grace_period")))
        if asked > MOST_GRACE:
            self._left.add("stop_grace_period", f"{MOST_GRACE} s, which is the most")
        self._config["stop_grace_seconds"] = min(asked, MOST_GRACE)

    def _working_dir(self, value: Any) -> None:
        if text(value).startswith("/"):
            self._config["working_dir"] = text(value)
        else:
            self._left.add(
                "working_dir", f"{text(value)} hangs on the image's own; write it in full, as /app/{text(value)}"
            )

    def _pull_policy(self, value: Any) -> None:
        if value in PULLS:
            self._config["pull"] = PULLS[value]
        else:
            self._left.add("pull_policy", f"{value} is not there; `always`, `missing` and `never` are")

    def _restart(self, value: Any) -> None:
        policy, colon, _ = str(value).lower().partition(":")
        policy = "no" if policy == "false" else policy
        if policy not in RESTARTS:
            raise ComposeError(self._left.key("restart"), f"{value!r} is none of {', '.join(RESTARTS)}")
        if colon:
            self._left.add("restart", f"{policy}, as often as it takes: a number of tries cannot be given")
        self._config["restart_policy"] = policy

    def _privileged(self, value: Any) -> None:
        self._left_if_on("privileged", value)

    def _scale(self, value: Any) -> None:
        if str(value) != "1":
            self._left.add("scale", INSTEAD["scale"])

    def _security_opt(self, value: Any) -> None:
        kept = [one for one in texts(value, "security_opt") if one.replace("=", ":") not in _ALWAYS]
        if kept:
            self._left.add("security_opt", INSTEAD["security_opt"])

    def _network_mode(self, value: Any) -> None:
        match value:
            case "none":
                self._config["network"] = "none"
            case "bridge" | "default":
                return
            case "host":
                self._left.add(
                    "network_mode",
                    "host takes LANDLORD_DOCKER_ALLOW_HOST_ACCESS and an admin: --set spec.compute.config.network=host",
                )
            case _:
                self._left.add("network_mode", INSTEAD["networks"])

    def _networks(self, value: Any) -> None:
        plain = value == ["default"] or (
            isinstance(value, Mapping) and dict(value) in ({"default": None}, {"default": {}})
        )
        if not plain:
            self._left.add("networks", INSTEAD["networks"])

    # --- limits ---

    def _cpus(self, value: Any, key: str = "cpus") -> None:
        if millis := round(1000 * number(value, self._left.key(key))):
            self._resources["cpu_millis"] = max(10, millis)

    def _memory(self, value: Any, key: str = "mem_limit") -> None:
        if size := mebibytes(value, self._left.key(key)):
            self._resources["memory_mib"] = max(LEAST_MEMORY, size)

    def _pids(self, value: Any, key: str = "pids_limit") -> None:
        if (most := whole(value, self._left.key(key))) > 0:
            self._resources["pids"] = most
        else:
            self._left.add(key, "there is always a limit: 512 unless `resources.pids` says otherwise")

    def _gpus(self, value: Any) -> None:
        if value == "all":
            self._config["gpus"] = "all"
        elif isinstance(value, list):
            self._devices(value, "gpus")
        else:
            self._config["gpus"] = whole(value, self._left.key("gpus"))

    def _devices(self, value: list[Any], key: str) -> None:
        for index, device in enumerate(value):
            wanted = device if isinstance(device, Mapping) else {}
            if key != "gpus" and "gpu" not in (wanted.get("capabilities") or []):
                self._left.add(f"{key}.{index}", INSTEAD["devices"])
            elif ids := wanted.get("device_ids"):
                self._config["gpus"] = texts(ids, self._left.key(f"{key}.{index}"))
            else:
                count = wanted.get("count", "all")
                self._config["gpus"] = "all" if count in ("all", -1) else whole(count, self._left.key(f"{key}.{index}"))

    def _deploy(self, value: Any) -> None:
        for name, part in as_mapping(value, self._left.key("deploy")).items():
            if name == "resources":
                self._deploy_resources(as_mapping(part or {}, self._left.key("deploy.resources")))
            elif name == "restart_policy":
                self._deploy_restart(as_mapping(part or {}, self._left.key("deploy.restart_policy")))
            elif (name, str(part)) not in (("replicas", "1"), ("mode", "replicated")):
                self._left.add(f"deploy.{name}", DEPLOY.get(name, "has no counterpart"))

    def _deploy_resources(self, value: Mapping[str, Any]) -> None:
        place = "deploy.resources"
        limits = as_mapping(value.get("limits") or {}, self._left.key(f"{place}.limits"))
        reserved = as_mapping(value.get("reservations") or {}, self._left.key(f"{place}.reservations"))
        for name, verb in (("cpus", self._cpus), ("memory", self._memory), ("pids", self._pids)):
            if limits.get(name) is not None:
                verb(limits[name], f"{place}.limits.{name}")
        for name, part in reserved.items():
            if name == "devices":
                self._devices(part or [], f"{place}.reservations.devices")
            else:
                self._left.add(f"{place}.reservations.{name}", "nothing is reserved; `limits` are kept")

    def _deploy_restart(self, value: Mapping[str, Any]) -> None:
        condition = value.get("condition", "any")
        self._restart({"any": "always", "none": "no"}.get(condition, condition))
        for name in sorted(value.keys() - {"condition"}):
            self._left.add(f"deploy.restart_policy.{name}", "Docker Engine chooses it; Landlord heals beside that")


_ALWAYS = frozenset({"no-new-privileges:true", "no-new-privileges"})
