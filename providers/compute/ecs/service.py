"""Translates between Landlord's words and ECS's: the requests that make a service, and ECS's report on one.

Pure functions over the JSON of ECS's API (2014-11-13); `engine` calls them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from controlplane.errors import Terminal
from controlplane.ports import OWNER_LABEL, TENANT_ID_LABEL, Origin, PlatformHealth, Resource, ResourceState
from providers.aws.clients import AssumedRole
from providers.compute.ecs import surroundings
from providers.compute.ecs.config import EcsConfig

DESIRED_TAG = "landlord.desired-count"
"""The number of tasks in the config. The service itself is created with none, and may be scaled to none."""
ASSUMED_TAG = "landlord.assumed-for"
"""`tenant`: the role that reaches the service is assumed for its tenant. A service of an earlier release has no such
tag, and its id names no tenant: an id never changes."""
REASONS = 3
"""A message names at most this many stop reasons."""


@dataclass(frozen=True, slots=True)
class Acting:
    """A role to assume, and the tenant for whom. `tenant`: `<installation>/<tenant id>`, None for a service that was
    made before roles were assumed for tenants."""

    role: str
    tenant: str | None = None

    @classmethod
    def of(cls, role: str | None, installation_id: str, tenant_id: UUID) -> "Acting | None":
        return None if role is None else cls(role, f"{installation_id}/{tenant_id}")

    @property
    def assumed(self) -> AssumedRole:
        """The external id is the tenant's, so a role that demands its tenant's is closed to every other tenant."""
        if self.tenant is None:
            return AssumedRole(self.role)
        installation_id, _, tenant_id = self.tenant.partition("/")
        tags = ((OWNER_LABEL, installation_id), (TENANT_ID_LABEL, tenant_id))
        return AssumedRole(self.role, f"landlord-{tenant_id}", self.tenant, tags)

    def __str__(self) -> str:
        return self.role if self.tenant is None else f"{self.role} for {self.tenant}"

    @classmethod
    def parse(cls, text: str) -> "Acting | None":
        role, _, tenant = text.partition(" for ")
        return cls(role, tenant or None) if role else None


@dataclass(frozen=True, slots=True)
class Place:
    """The place of services: a cluster (name or ARN), and how it is reached, None for our own account."""

    cluster: str
    acting: Acting | None = None


@dataclass(frozen=True, slots=True)
class ServiceId:
    """A resource id: the service's ARN, and ` as <role's ARN> for <installation>/<tenant id>` if a role is assumed to
    reach it."""

    arn: str
    acting: Acting | None = None

    def __str__(self) -> str:
        return self.arn if self.acting is None else f"{self.arn} as {self.acting}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Terminal if this is no such id."""
        arn, _, acting = text.partition(" as ")
        if re.fullmatch(r"arn:[^:]+:ecs:[^:]+:\d+:service/[^/]+/[^/]+", arn) is None:
            raise Terminal(f"{text!r} is not the id of an ECS service")
        return cls(arn, Acting.parse(acting))

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def place(self) -> Place:
        return Place(self.arn.split("/")[1], self.acting)


def tasks(service: Mapping[str, Any]) -> int:
    """The number of running and pending tasks. A pending task starts later, even if its service is deleted."""
    return int(service["runningCount"]) + int(service.get("pendingCount", 0))


def definition_request(definition: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    """The request of RegisterTaskDefinition: the client's definition, in a family named like the service."""
    ours = origin.labels()
    theirs = [tag for tag in definition.get("tags", ()) if tag.get("key") not in ours]
    return {**definition, "family": origin.name, "tags": [*theirs, *tags(ours)]}


def service_request(config: EcsConfig, origin: Origin, task_definition: str, token: str) -> dict[str, Any]:
    """The request of CreateService: a service without tasks, so that the gate is asked before any runs.

    `token`: lets ECS distinguish a request that the SDK sends again from a new one."""
    request: dict[str, Any] = {
        "cluster": config.cluster,
        "serviceName": origin.name,
        "taskDefinition": task_definition,
        "desiredCount": 0,
        "clientToken": token,
        "schedulingStrategy": "REPLICA",
        "deploymentController": {"type": "ECS"},
        # No rollback: a service has one version, so it could only go back to having no tasks.
        "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": True, "rollback": False}},
        "propagateTags": "SERVICE",
        "tags": tags({**origin.labels(), DESIRED_TAG: str(config.desired_count)}),
    }
    if config.assume_role_arn is not None:
        request["tags"] += tags({ASSUMED_TAG: "tenant"})
    if config.launch_type is not None:
        request["launchType"] = config.launch_type
    if config.network_configuration is not None:
        request["networkConfiguration"] = config.network_configuration
    return request | surroundings.request(config)


def tags(labels: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in labels.items()]


def labels(thing: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a service, or of an answer with tags."""
    return {tag["key"]: tag.get("value", "") for tag in thing.get("tags") or ()}


def wanted_count(service: Mapping[str, Any]) -> int:
    """The number of tasks in its config, from its tag."""
    text = labels(service).get(DESIRED_TAG, "")
    return int(text) if text.isdecimal() and int(text) > 0 else 1


def rollout(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """The deployment that is wanted now. Empty if ECS names none."""
    found: Mapping[str, Any] = next((one for one in service.get("deployments") or () if one["status"] == "PRIMARY"), {})
    return found


def started(service: Mapping[str, Any]) -> bool:
    """True if it has tasks or is about to: another start would only replace them."""
    return service["desiredCount"] > 0 and rollout(service).get("rolloutState") != "FAILED"


def falls_short(service: Mapping[str, Any]) -> bool:
    """True if it runs too few tasks and some have ended: then there are reasons to ask for."""
    primary = rollout(service)
    short = bool(service["runningCount"] < service["desiredCount"])
    return short and (bool(primary.get("failedTasks")) or primary.get("rolloutState") != "IN_PROGRESS")


def service_id(service: Mapping[str, Any], acting: Acting | None) -> ServiceId:
    """The id of a described service (with its tags) that was reached so."""
    if acting is not None and ASSUMED_TAG not in labels(service):
        acting = Acting(acting.role)
    return ServiceId(service["serviceArn"], acting)


def resource(service: Mapping[str, Any], acting: Acting | None, reasons: Sequence[str] = ()) -> Resource | None:
    """A described service (with its tags) as a Resource. None if it is not ours, or no longer exists.

    `reasons`: why its tasks stopped (see `stop_reason`). There are no endpoints: a service has no address."""
    origin = Origin.from_labels(labels(service))
    if origin is None or service["status"] == "INACTIVE":
        return None
    state = _state(service)
    return Resource(
        id=str(service_id(service, _of_its_tenant(acting, origin))),
        name=service["serviceName"],
        origin=origin,
        state=state,
        platform_health=None if state is ResourceState.STOPPED else _verdict(service),
        launch=_launch(service),
        detail=_detail(service, reasons),
    )


def _of_its_tenant(acting: Acting | None, origin: Origin) -> Acting | None:
    """A list of all services reaches an account for one tenant of those that have a role there."""
    return None if acting is None else Acting.of(acting.role, origin.installation_id, origin.tenant_id)


def stop_reason(task: Mapping[str, Any]) -> str:
    """The reason why a described task stopped, in one line: ECS's reason, then each container's."""
    parts = [task.get("stoppedReason") or "a task stopped"]
    for container in task.get("containers") or ():
        code, reason = container.get("exitCode"), container.get("reason")
        if reason or code:
            said = f"exit code {code}" if code is not None else ""
            parts.append(f"{container.get('name', 'a container')}: {', '.join(filter(None, (said, reason)))}")
    return " ".join("; ".join(parts).split())


def _state(service: Mapping[str, Any]) -> ResourceState:
    if service["status"] != "ACTIVE" or service["desiredCount"] == 0:
        return ResourceState.STOPPED
    match rollout(service).get("rolloutState"):
        case "FAILED" if service["runningCount"] == 0:
            return ResourceState.STOPPED
        case "IN_PROGRESS" if service["runningCount"] < service["desiredCount"]:
            return ResourceState.STARTING
        case _:
            return ResourceState.RUNNING


def _launch(service: Mapping[str, Any]) -> str:
    """The wanted deployment, and how many of its tasks have failed."""
    primary = rollout(service)
    return f"{primary['id']} {primary.get('failedTasks', 0)}" if "id" in primary else ""


def _verdict(service: Mapping[str, Any]) -> PlatformHealth:
    match rollout(service).get("rolloutState"):
        case "FAILED":
            return "unhealthy"
        case "IN_PROGRESS":
            return "starting"
        case _ if service["runningCount"] >= service["desiredCount"]:
            return "healthy"
        case _:
            # ECS replaces tasks by itself: Fargate retires them, Spot takes them back, zones are rebalanced.
            return "recovering" if tasks(service) else "unhealthy"


def _detail(service: Mapping[str, Any], reasons: Sequence[str]) -> str:
    """The detail for a person. Empty if all is well."""
    running, desired = service["runningCount"], service["desiredCount"]
    still = f"; {running} of its tasks are still stopping" if running else ""
    if service["status"] != "ACTIVE":
        return f"the service is {service['status'].lower()}{still}"
    if desired == 0:
        return f"the service is scaled to no tasks{still}"
    primary = rollout(service)
    state = primary.get("rolloutState", "COMPLETED")
    if state == "COMPLETED" and running >= desired:
        return ""
    parts = [f"{running} of {desired} tasks run"]
    if state == "FAILED":
        parts.append(f"the rollout failed: {primary.get('rolloutStateReason', 'no reason given')}")
    elif primary.get("failedTasks"):
        parts.append(f"{primary['failedTasks']} failed to start")
    if running < desired:
        parts += dict.fromkeys([*reasons[:REASONS], *_hindrances(service)])
    return "; ".join(part.rstrip(".") for part in parts)


def _hindrances(service: Mapping[str, Any]) -> list[str]:
    """The newest event that says why tasks cannot be placed: then no task exists that could have a reason."""
    since = rollout(service).get("createdAt")
    for event in service.get("events") or ():
        if since is not None and event["createdAt"] < since:
            break
        if "unable to" in event["message"]:
            return [" ".join(event["message"].split())]
    return []
