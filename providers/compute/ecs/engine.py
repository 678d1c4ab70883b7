"""ECS services by blocking calls: make one, find ours, scale, delete, and retire their task definitions.

Every call raises the errors of `providers.aws.clients.speaking`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from botocore.exceptions import ClientError

from controlplane.errors import Unavailable
from controlplane.model import id8
from controlplane.ports import Origin, Resource
from providers.aws.clients import AwsClients, code_of, speaking
from providers.compute.ecs.config import EcsConfig, environment
from providers.compute.ecs.roles import Roles
from providers.compute.ecs.service import (
    Acting,
    Place,
    ServiceId,
    definition_request,
    falls_short,
    labels,
    resource,
    rollout,
    service_request,
    started,
    stop_reason,
    tasks,
    wanted_count,
)
from providers.kit.redaction import redact

DESCRIBED_AT_ONCE = 10
"""One DescribeServices takes this many services."""
LISTED_AT_ONCE = 100
PREFIX = "landlord-"
"""Every resource of ours has a name that begins with this."""
GONE = frozenset({"ClusterNotFoundException", "ServiceNotActiveException", "ServiceNotFoundException"})

Service = Mapping[str, Any]


class EcsEngine:
    """One account and region, and the accounts that roles lead to. Thread-safe.

    It remembers where a service of a name was made or seen. A name has one config for ever, so it cannot be elsewhere.
    """

    def __init__(self, clients: AwsClients) -> None:
        self._clients = clients
        self._roles = Roles(clients)
        self._places: dict[str, Place] = {}

    def ping(self) -> None:
        with speaking():
            self._ecs(None).list_clusters(maxResults=1)

    def identity(self) -> str:
        """`123456789012/eu-central-1`."""
        with speaking():
            account = self._clients.client("sts").get_caller_identity()["Account"]
            return f"{account}/{self._clients.region}"

    def expect(self, config: EcsConfig, origin: Origin) -> None:
        """Note that this config's service is in the config's cluster, so no search is needed. Makes no call."""
        self._places[origin.name] = _place(config, origin)

    def create(self, config: EcsConfig, origin: Origin, hidden: Sequence[str] = ()) -> str | None:
        """The id of a new service that runs no tasks yet. None: the name is taken. `hidden`: values that no error may
        show.

        Raises Retryable while a service of that name is being deleted. If a definition was registered and its service
        then could not be made, the definition is removed with the tenant (`forget`), at the latest."""
        place = _place(config, origin)
        with speaking(hidden):
            if place.acting is not None:
                self._roles.record(origin.installation_id, origin.tenant_id, place.acting.role)
            definition = self._definition(config, origin)
            request = service_request(config, origin, definition, str(uuid4()))
            try:
                made = self._ecs(place.acting).create_service(**request)["service"]
            except ClientError:
                # ECS has the same wording for a taken name and a wrong parameter: look at the service with that name.
                there = self._describe(place, [origin.name])
                if not there:
                    raise
                if there[0]["status"] != "ACTIVE":
                    raise Unavailable(
                        f"a service {origin.name} is still being deleted ({_draining(there[0])})"
                    ) from None
                return None
            return str(ServiceId(made["serviceArn"], place.acting))

    def find(self, origin: Origin) -> tuple[Place, Service] | None:
        """The service of that name, whatever its owner. None: there is none."""
        known = self._places.get(origin.name)
        with speaking():
            for place in [known] if known is not None else self._all_places(origin.installation_id, origin.tenant_id):
                for service in self._describe(place, [origin.name]):
                    self._places[origin.name] = place
                    return place, service
        return None

    def describe(self, service_id: ServiceId) -> Service | None:
        """A service's description. None: there is no such service, or no longer."""
        with speaking():
            return next(iter(self._describe(service_id.place, [service_id.arn])), None)

    def seen(self, place: Place, service: Service) -> Resource | None:
        """A described service as a Resource. If it has too few tasks, with the reasons of its tasks. None: not ours."""
        return resource(service, place.acting, self._stop_reasons(place, service) if falls_short(service) else ())

    def chunks(self, installation_id: str, tenant_id: UUID | None) -> list[tuple[Place, Sequence[str]]]:
        """Services that may be ours by their name, in portions for `owned`."""
        part = PREFIX if tenant_id is None else f"-{id8(tenant_id)}-g"
        found: list[tuple[Place, Sequence[str]]] = []
        with speaking():
            for place in self._all_places(installation_id, tenant_id):
                named = [arn for arn in self._services(place) if ServiceId(arn).name.startswith(PREFIX) and part in arn]
                for first in range(0, len(named), DESCRIBED_AT_ONCE):
                    found.append((place, named[first : first + DESCRIBED_AT_ONCE]))
        return found

    def owned(self, place: Place, services: Sequence[str]) -> list[Resource]:
        """Of these services, at most DESCRIBED_AT_ONCE, those with all our labels."""
        with speaking():
            return [
                found
                for service in self._describe(place, services)
                if (found := resource(service, place.acting)) is not None
            ]

    def start(self, service_id: ServiceId) -> None:
        """Start a new rollout, watched by the circuit breaker. Missing is no error. Raises Unavailable while the
        service drains."""
        service = self.describe(service_id)
        if service is None or started(service):
            return
        if service["status"] != "ACTIVE":
            raise Unavailable(f"service {service_id.name} is still being deleted ({_draining(service)})")
        self._update(service_id, desiredCount=wanted_count(service), forceNewDeployment=True)

    def restart(self, service_id: ServiceId) -> None:
        """Replace its tasks one after the other, as its deployment configuration says, watched by the circuit breaker.
        Missing is no error. Raises Unavailable while the service drains."""
        service = self.describe(service_id)
        if service is None:
            return
        if service["status"] != "ACTIVE":
            raise Unavailable(f"service {service_id.name} is still being deleted ({_draining(service)})")
        self._update(service_id, desiredCount=wanted_count(service), forceNewDeployment=True)

    def scale_to_none(self, service_id: ServiceId) -> Service | None:
        """Scale the service to no tasks. Returns the service as ECS then sees it: its tasks have their stop signal.
        None: there is none."""
        service = self.describe(service_id)
        if service is None or service["status"] != "ACTIVE":
            return service
        if service["desiredCount"] == 0 and tasks(service) == 0:
            return service
        return self._update(service_id, desiredCount=0)

    def delete(self, service_id: ServiceId) -> Service | None:
        """Delete the service. Returns the service that is now being deleted. None: it is gone."""
        with speaking():
            try:
                service: Service = self._ecs(service_id.acting).delete_service(
                    cluster=service_id.place.cluster, service=service_id.arn, force=True
                )["service"]
            except ClientError as error:
                if code_of(error) not in GONE:
                    raise
                return self.describe(service_id)
            return None if service["status"] == "INACTIVE" else service

    def retire_definitions(self, service_id: ServiceId) -> None:
        """Retire all revisions of the definitions that were registered for this service. They become unusable; ECS
        keeps their text."""
        with speaking():
            self._deregister(service_id.acting, service_id.name)

    def forget(self, installation_id: str, tenant_id: UUID) -> None:
        """Remove a tenant's leftovers: definitions whose service was never made, and its roles."""
        with speaking():
            roles = self._roles.of(installation_id, tenant_id)
            for role in (None, *roles):
                pages = self._ecs(role).get_paginator("list_task_definition_families")
                for page in pages.paginate(familyPrefix=PREFIX, status="ACTIVE"):
                    for family in page["families"]:
                        if f"-{id8(tenant_id)}-g" in family:
                            self._deregister(role, family, (installation_id, tenant_id))
            self._roles.forget(installation_id, tenant_id)

    def _ecs(self, acting: Acting | None) -> Any:
        return self._clients.client("ecs", None if acting is None else acting.assumed)

    def _definition(self, config: EcsConfig, origin: Origin) -> str:
        """The ARN of the config's task definition. If the config gives it inline, it is registered first."""
        if config.definition is None:
            return str(config.task_definition)
        request = definition_request(config.definition, origin)
        answer = self._ecs(_place(config, origin).acting).register_task_definition(**request)
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def _deregister(self, acting: Acting | None, family: str, whose: tuple[str, UUID] | None = None) -> None:
        ecs = self._ecs(acting)
        pages = ecs.get_paginator("list_task_definitions").paginate(familyPrefix=family, status="ACTIVE")
        for arn in [arn for page in pages for arn in page["taskDefinitionArns"]]:
            of = Origin.from_labels(labels(ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])))
            if of is not None and of.name == family and whose in (None, (of.installation_id, of.tenant_id)):
                ecs.deregister_task_definition(taskDefinition=arn)

    def _all_places(self, installation_id: str, tenant_id: UUID | None) -> Iterator[Place]:
        """Every cluster of the account, and of the accounts that the tenants' roles lead to."""
        for role in (None, *self._roles.of(installation_id, tenant_id)):
            for page in self._ecs(role).get_paginator("list_clusters").paginate():
                for cluster in page["clusterArns"]:
                    yield Place(cluster, role)

    def _services(self, place: Place) -> list[str]:
        pages = self._ecs(place.acting).get_paginator("list_services")
        try:
            found = pages.paginate(cluster=place.cluster, PaginationConfig={"PageSize": LISTED_AT_ONCE})
            return [arn for page in found for arn in page["serviceArns"]]
        except ClientError as error:
            if code_of(error) != "ClusterNotFoundException":
                raise
            return []

    def _describe(self, place: Place, services: Sequence[str]) -> list[Service]:
        """The existing ones of these services. A missing cluster holds none."""
        try:
            answer = self._ecs(place.acting).describe_services(
                cluster=place.cluster, services=list(services), include=["TAGS"]
            )
        except ClientError as error:
            if code_of(error) not in GONE:
                raise
            return []
        for failure in answer.get("failures") or ():
            if failure.get("reason") != "MISSING":
                raise Unavailable(f"ECS does not describe {failure.get('arn')}: {failure.get('reason')}")
        return [service for service in answer["services"] if service["status"] != "INACTIVE"]

    def _update(self, service_id: ServiceId, **changes: Any) -> Service | None:
        """Update the service. Returns the updated service; if it is being deleted, the unchanged one."""
        with speaking():
            try:
                service: Service = self._ecs(service_id.acting).update_service(
                    cluster=service_id.place.cluster, service=service_id.arn, **changes
                )["service"]
            except ClientError as error:
                if code_of(error) not in GONE:
                    raise
                return self.describe(service_id)
            return service

    def _stop_reasons(self, place: Place, service: Service) -> list[str]:
        """The stop reasons of this rollout's tasks, newest first, without values from the environment of its
        containers."""
        with speaking():
            ecs, deployment = self._ecs(place.acting), rollout(service).get("id")
            listed = ecs.list_tasks(cluster=place.cluster, serviceName=service["serviceName"], desiredStatus="STOPPED")[
                "taskArns"
            ]
            if not listed or deployment is None:
                return []
            tasks = ecs.describe_tasks(cluster=place.cluster, tasks=listed)["tasks"]
            of_rollout = [task for task in tasks if task.get("startedBy") == deployment]
            of_rollout.sort(key=lambda task: str(task.get("stoppedAt", "")), reverse=True)
            if not of_rollout:
                return []
            of_service = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
            hidden = environment(of_service)
            return list(dict.fromkeys(redact(stop_reason(task), hidden) for task in of_rollout))


def _place(config: EcsConfig, origin: Origin) -> Place:
    return Place(config.cluster, Acting.of(config.assume_role_arn, origin.installation_id, origin.tenant_id))


def _draining(service: Service) -> str:
    return f"{service['runningCount']} of its tasks are still stopping"
