"""Translates between Landlord's words and Docker's: the body that creates a container, and Docker Engine's report on
one.

Pure functions over Docker Engine's JSON (API 1.41); `provider` calls them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from controlplane.model import Endpoint, HealthSpec, id8
from controlplane.model.masking import hidden_values
from controlplane.ports import (
    OWNER_LABEL,
    TENANT_ID_LABEL,
    TENANT_LABEL,
    Origin,
    PlatformHealth,
    Resource,
    ResourceState,
)
from providers.compute.docker.config import DockerConfig, Volume
from providers.compute.docker.output import engine_options
from providers.compute.docker.reach import HERE, Reach
from providers.compute.docker.surroundings import Gpus, Tmpfs
from providers.kit.redaction import redact

PORTS_LABEL = "landlord.ports"
"""The published ports in the order of the config, which Docker Engine does not keep: `8080/tcp,9090/tcp`."""

STATES: Mapping[str, ResourceState] = {
    "created": ResourceState.CREATED,
    "running": ResourceState.RUNNING,
    "restarting": ResourceState.STARTING,
    "paused": ResourceState.STOPPED,
    "exited": ResourceState.STOPPED,
    "removing": ResourceState.STOPPED,
    "dead": ResourceState.STOPPED,
}
SECURITY_OPTIONS = ("no-new-privileges:true",)
"""Set-uid programs (`su`, `sudo`) give nothing."""
DROPPED = ("NET_RAW",)
"""Capabilities that Docker Engine gives by default. With this one, a container may forge packets on its network."""

PortMap = Mapping[str, Sequence[tuple[str, int]]]
"""`8080/tcp` → the host addresses and ports that lead to it."""


def shared_name(origin: Origin, of: str | None = None) -> str:
    """The tenant's own network, or its own volume `of` that name. Unlike a container's name, it outlives a
    generation."""
    base = f"landlord-{origin.tenant_name}-{id8(origin.tenant_id)}"
    return base if of is None else f"{base}-{of}"


def shared_labels(origin: Origin) -> dict[str, str]:
    """The labels of the tenant's network and volumes: the tenant, but no generation."""
    kept = (OWNER_LABEL, TENANT_LABEL, TENANT_ID_LABEL)
    return {name: value for name, value in origin.labels().items() if name in kept}


def creation_body(config: DockerConfig, origin: Origin, network: str | None, health: HealthSpec) -> dict[str, Any]:
    """The body of `POST /containers/create`. `network`: the id of the tenant's own network, if the config asks for
    one."""
    limits = config.resources
    memory = limits.memory_mib * 1024 * 1024 if limits.memory_mib is not None else 0
    host: dict[str, Any] = {
        "PortBindings": {
            port.key: [{"HostIp": port.host_ip, "HostPort": str(port.host_port or "")}] for port in config.ports
        },
        "NanoCpus": (limits.cpu_millis or 0) * 1_000_000,
        "Memory": memory,
        "MemorySwap": memory,
        "Mounts": [*(_mount(volume, origin) for volume in config.volumes), *map(_in_memory, config.tmpfs)],
        "NetworkMode": network or config.network or "default",
        "RestartPolicy": {"Name": config.restart_policy},
        "Privileged": config.privileged,
        "PidsLimit": limits.pids,
        "SecurityOpt": list(SECURITY_OPTIONS),
        "CapDrop": list(DROPPED),
        "LogConfig": {
            "Type": config.log_driver or "json-file",
            "Config": engine_options(config.log_driver, config.log_options),
        },
        **_surroundings(config),
    }
    body: dict[str, Any] = {
        "Image": config.image,
        "Env": [f"{name}={value}" for name, value in config.env.items()],
        "ExposedPorts": {port.key: {} for port in config.ports},
        "Labels": {**config.labels, **origin.labels(), PORTS_LABEL: ",".join(port.key for port in config.ports)},
        "HostConfig": host,
    }
    given = {
        "Cmd": config.arguments,
        "Entrypoint": config.program,
        "User": config.user,
        "WorkingDir": config.working_dir,
        "Hostname": config.hostname,
        "StopSignal": config.stop_signal,
        "StopTimeout": config.stop_grace_seconds,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    if health.exec is not None:
        body["Healthcheck"] = {
            "Test": ["CMD", *health.exec.command],
            "Interval": _nanoseconds(health.interval_seconds),
            "Timeout": _nanoseconds(health.timeout_seconds),
            "Retries": 1,  # report each verdict: the callers count thresholds
            "StartPeriod": _nanoseconds(health.start_period_seconds) if health.start_period_seconds else 0,
        }
    return body


def _nanoseconds(seconds: float) -> int:
    """At least the one millisecond that Docker Engine requires."""
    return max(1_000_000, int(seconds * 1_000_000_000))


def _surroundings(config: DockerConfig) -> dict[str, Any]:
    """Members of `HostConfig` that only a config brings along."""
    given: dict[str, Any] = {
        "GroupAdd": config.group_add,
        "Init": config.init,
        "ExtraHosts": config.extra_hosts,
        "Dns": config.dns,
        "ReadonlyRootfs": config.read_only,
        "ShmSize": (config.shm_size_mib or 0) * 1024 * 1024,
        "Ulimits": [
            {"Name": name, "Soft": limit.soft, "Hard": limit.hard} for name, limit in sorted(config.ulimits.items())
        ],
        "DeviceRequests": _device_requests(config.gpus),
    }
    return {name: value for name, value in given.items() if value}


def _device_requests(gpus: Gpus | None) -> list[dict[str, Any]]:
    """As `docker run --gpus` asks for them."""
    if gpus is None:
        return []
    which: dict[str, Any] = {"DeviceIDs": gpus} if isinstance(gpus, list) else {"Count": -1 if gpus == "all" else gpus}
    return [{"Capabilities": [["gpu"]], **which}]


def _in_memory(tmpfs: Tmpfs) -> dict[str, Any]:
    return {
        "Type": "tmpfs",
        "Target": tmpfs.target,
        "TmpfsOptions": {"SizeBytes": tmpfs.size_mib * 1024 * 1024, "Mode": 0o1777},
    }


def _mount(volume: Volume, origin: Origin) -> dict[str, Any]:
    return {
        "Type": "bind" if volume.of_host else "volume",
        "Source": volume.source if volume.of_host else shared_name(origin, volume.source),
        "Target": volume.target,
        "ReadOnly": volume.read_only,
    }


def from_inspection(details: Mapping[str, Any], last_line: str = "", reach: Reach = HERE) -> Resource | None:
    """`GET /containers/{id}/json` as a Resource. None if it is not ours. `reach`: where the engine's ports are
    reached."""
    labels: Mapping[str, str] = details["Config"]["Labels"] or {}
    origin = Origin.from_labels(labels)
    if origin is None:
        return None
    state = details["State"]
    ports = {
        key: [(bound["HostIp"], int(bound["HostPort"])) for bound in bindings or ()]
        for key, bindings in (details["NetworkSettings"]["Ports"] or {}).items()
    }
    return Resource(
        id=details["Id"],
        name=details["Name"].removeprefix("/"),
        origin=origin,
        state=STATES.get(state["Status"], ResourceState.STOPPED),
        endpoints=_endpoints(labels, ports, details["HostConfig"]["NetworkMode"], state["Status"], reach),
        platform_health=(verdict := _verdict((state.get("Health") or {}).get("Status", ""))),
        checked=verdict is not None,
        launch=_launch(details),
        detail=redact(_detail(state, last_line), environment(details)),
    )


def from_summary(row: Mapping[str, Any], reach: Reach = HERE) -> Resource | None:
    """One row of `GET /containers/json` as a Resource. None if it is not ours."""
    labels: Mapping[str, str] = row["Labels"] or {}
    origin = Origin.from_labels(labels)
    if origin is None:
        return None
    ports: dict[str, list[tuple[str, int]]] = {}
    for port in row["Ports"] or ():
        if "PublicPort" in port:
            key = f"{port['PrivatePort']}/{port['Type']}"
            ports.setdefault(key, []).append((port.get("IP", ""), port["PublicPort"]))
    running = row["State"] == "running"
    in_words = re.search(r"\((?:health: )?(healthy|unhealthy|starting)\)", row["Status"])
    return Resource(
        id=row["Id"],
        name=row["Names"][0].removeprefix("/") if row["Names"] else origin.name,
        origin=origin,
        state=STATES.get(row["State"], ResourceState.STOPPED),
        endpoints=_endpoints(labels, ports, (row.get("HostConfig") or {}).get("NetworkMode", ""), row["State"], reach),
        platform_health=_verdict(in_words[1]) if running and in_words else None,
        detail="" if running else f"the container is {row['State']}: {row['Status']}",
    )


def environment(details: Mapping[str, Any]) -> Iterable[str]:
    """The values of the container's environment, and secrets in its command and log options: no text may show them."""
    made_of, host = details["Config"], details.get("HostConfig") or {}
    values = [pair.partition("=")[2] for pair in made_of["Env"] or ()]
    said = {
        "command": made_of.get("Cmd"),
        "entrypoint": made_of.get("Entrypoint"),
        "log_options": (host.get("LogConfig") or {}).get("Config"),
    }
    return [*values, *hidden_values(said)]


def grace(details: Mapping[str, Any]) -> int | None:
    """Seconds between the stop signal and the kill, if the container has a time of its own."""
    found = details["Config"].get("StopTimeout")
    return int(found) if found is not None else None


def _endpoints(
    labels: Mapping[str, str], ports: PortMap, network: str, status: str, reach: Reach
) -> tuple[Endpoint, ...]:
    """Those that are reached from here."""
    if status != "running":
        return ()
    found: list[Endpoint] = []
    for key in filter(None, labels.get(PORTS_LABEL, "").split(",")):
        port, _, protocol = key.partition("/")
        bindings = [("0.0.0.0", int(port))] if network == "host" else ports.get(key, ())
        reached = ((host, number) for bound, number in bindings if (host := reach.at(bound)) is not None)
        for host, host_port in islice(reached, 1):
            scheme = "http" if protocol == "tcp" else "udp"
            name = "http" if not found and protocol == "tcp" else f"port-{port}"
            if any(endpoint.name == name for endpoint in found):
                name = f"{name}-{protocol}"  # one number may be published for tcp and for udp
            found.append(Endpoint(name, f"{scheme}://{host}:{host_port}", int(port)))
    return tuple(found)


def _launch(details: Mapping[str, Any]) -> str:
    """The start time, to the nanosecond. One that was never started has a zero."""
    started = details["State"].get("StartedAt") or ""
    return "" if started.startswith("0001-") else f"{started} {details.get('RestartCount', 0)}"


def _verdict(word: str) -> PlatformHealth | None:
    match word:
        case "healthy" | "unhealthy" | "starting":
            return word
        case _:
            return None


def _detail(state: Mapping[str, Any], last_line: str) -> str:
    match state["Status"]:
        case "running":
            return ""
        case "created":
            return "the container was never started"
        case "exited" | "dead" if state.get("OOMKilled"):
            text = f"the container was killed for its memory limit (exit code {state['ExitCode']})"
        case "exited" | "dead":
            text = f"the container exited with code {state['ExitCode']}"
        case "restarting":
            text = f"the container is restarting after exit code {state['ExitCode']}"
        case status:
            text = f"the container is {status}"
    return f"{text}: {last_line}" if last_line else text
