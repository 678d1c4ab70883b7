"""ECS services by blocking calls: make one, find ours, scale, delete, and retire their task definitions.

Every call raises what `clients.speaking` raises.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from botocore.exceptions import ClientError

from controlplane.errors import Retryable
from controlplane.model import id8
from controlplane.ports import Origin, Resource
from providers.aws.clients import AssumedRole, AwsClients, code_of, speaking
from providers.compute.ecs.config import EcsConfig, environment
from providers.compute.ecs.roles import Roles
from providers.compute.ecs.service import (
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
"""Services that one DescribeServices takes."""
LISTED_AT_ONCE = 100
PREFIX = "landlord-"
"""How the name of every resource of ours begins."""
GONE = frozenset({"ClusterNotFoundException", "ServiceNotActiveException", "ServiceNotFoundException"})

Service = Mapping[str, Any]


class EcsEngine:
    """One account and region, and those that roles lead to. Thread-safe.

    It remembers where a service of a name was made or seen: a name has one config for ever, so it cannot be elsewhere.
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
        """This config's service is where it says, so nobody needs to look elsewhere. Asks nobody."""
        self._places[origin.name] = _place(config)

    def create(self, config: EcsConfig, origin: Origin, hidden: Sequence[str] = ()) -> str | None:
        """The id of a new service that runs no tasks yet; None: the name is taken. `hidden`: what no error may show.

        Raises Retryable while a service of that name is being deleted. A definition that was registered for a service
        which then could not be made goes with the tenant (`forget`), at the latest."""
        place = _place(config)
        with speaking(hidden):
            if place.role is not None:
                self._roles.record(origin.installation_id, origin.tenant_id, place.role)
            definition = self._definition(config, origin)
            request = service_request(config, origin, definition, str(uuid4()))
            try:
                made = self._ecs(place.role).create_service(**request)["service"]
            except ClientError:
                # ECS words a name that is taken like a wrong parameter: look who has it.
                there = self._describe(place, [origin.name])
                if not there:
                    raise
                if there[0]["status"] != "ACTIVE":
                    raise Retryable(f"a service {origin.name} is still being deleted ({_draining(there[0])})") from None
                return None
            return str(ServiceId(made["serviceArn"], place.role))

    def find(self, origin: Origin) -> tuple[Place, Service] | None:
        """The service of that name, whoever it belongs to; None where there is none."""
        known = self._places.get(origin.name)
        with speaking():
            for place in [known] if known is not None else self._all_places(origin.installation_id, origin.tenant_id):
                for service in self._describe(place, [origin.name]):
                    self._places[origin.name] = place
                    return place, service
        return None

    def describe(self, service_id: ServiceId) -> Service | None:
        """None: there is no such service, or no more."""
        with speaking():
            return next(iter(self._describe(service_id.place, [service_id.arn])), None)

    def seen(self, place: Place, service: Service) -> Resource | None:
        """A described service as a Resource, with the reasons of its tasks where it falls short; None: not ours."""
        return resource(service, place.role, self._stop_reasons(place, service) if falls_short(service) else ())

    def chunks(self, installation_id: str, tenant_id: UUID | None) -> list[tuple[Place, Sequence[str]]]:
        """What may be ours by its name, in portions for `owned`."""
        part = PREFIX if tenant_id is None else f"-{id8(tenant_id)}-g"
        found: list[tuple[Place, Sequence[str]]] = []
        with speaking():
            for place in self._all_places(installation_id, tenant_id):
                named = [arn for arn in self._services(place) if ServiceId(arn).name.startswith(PREFIX) and part in arn]
                for first in range(0, len(named), DESCRIBED_AT_ONCE):
                    found.append((place, named[first : first + DESCRIBED_AT_ONCE]))
        return found

    def owned(self, place: Place, services: Sequence[str]) -> list[Resource]:
        """Of these at most DESCRIBED_AT_ONCE services, those that bear all our labels."""
        with speaking():
            return [
                found
                for service in self._describe(place, services)
                if (found := resource(service, place.role)) is not None
            ]

    def start(self, service_id: ServiceId) -> None:
        """As a new rollout, watched by the circuit breaker. Missing is no error. Raises Retryable while it drains."""
        service = self.describe(service_id)
        if service is None or started(service):
            return
        if service["status"] != "ACTIVE":
            raise Retryable(f"service {service_id.name} is still being deleted ({_draining(service)})")
        self._update(service_id, desiredCount=wanted_count(service), forceNewDeployment=True)

    def scale_to_none(self, service_id: ServiceId) -> Service | None:
        """The service as ECS sees it then: its tasks have their stop signal. None: there is none."""
        service = self.describe(service_id)
        if service is None or service["status"] != "ACTIVE":
            return service
        if service["desiredCount"] == 0 and tasks(service) == 0:
            return service
        return self._update(service_id, desiredCount=0)

    def delete(self, service_id: ServiceId) -> Service | None:
        """The service that is now being deleted; None: it is gone."""
        with speaking():
            try:
                service: Service = self._ecs(service_id.role).delete_service(
                    cluster=service_id.place.cluster, service=service_id.arn, force=True
                )["service"]
            except ClientError as error:
                if code_of(error) not in GONE:
                    raise
                return self.describe(service_id)
            return None if service["status"] == "INACTIVE" else service

    def retire_definitions(self, service_id: ServiceId) -> None:
        """Those that were registered for this service, all revisions. They stop being usable; ECS keeps their text."""
        with speaking():
            self._deregister(service_id.role, service_id.name)

    def forget(self, installation_id: str, tenant_id: UUID) -> None:
        """What a tenant may have left: definitions whose service was never made, and its roles."""
        with speaking():
            roles = self._roles.of(installation_id, tenant_id)
            for role in (None, *roles):
                pages = self._ecs(role).get_paginator("list_task_definition_families")
                for page in pages.paginate(familyPrefix=PREFIX, status="ACTIVE"):
                    for family in page["families"]:
                        if f"-{id8(tenant_id)}-g" in family:
                            self._deregister(role, family, (installation_id, tenant_id))
            self._roles.forget(installation_id, tenant_id)

    def _ecs(self, role: str | None) -> Any:
        return self._clients.client("ecs", None if role is None else AssumedRole(role))

    def _definition(self, config: EcsConfig, origin: Origin) -> str:
        """The ARN of the config's task definition, registered where it is given inline."""
        if config.definition is None:
            return str(config.task_definition)
        request = definition_request(config.definition, origin)
        answer = self._ecs(config.assume_role_arn).register_task_definition(**request)
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def _deregister(self, role: str | None, family: str, whose: tuple[str, UUID] | None = None) -> None:
        ecs = self._ecs(role)
        pages = ecs.get_paginator("list_task_definitions").paginate(familyPrefix=family, status="ACTIVE")
        for arn in [arn for page in pages for arn in page["taskDefinitionArns"]]:
            of = Origin.from_labels(labels(ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])))
            if of is not None and of.name == family and whose in (None, (of.installation_id, of.tenant_id)):
                ecs.deregister_task_definition(taskDefinition=arn)

    def _all_places(self, installation_id: str, tenant_id: UUID | None) -> Iterator[Place]:
        """Every cluster of the account, and of those that the tenants' roles lead to."""
        for role in (None, *self._roles.of(installation_id, tenant_id)):
            for page in self._ecs(role).get_paginator("list_clusters").paginate():
                for cluster in page["clusterArns"]:
                    yield Place(cluster, role)

    def _services(self, place: Place) -> list[str]:
        pages = self._ecs(place.role).get_paginator("list_services")
        try:
            found = pages.paginate(cluster=place.cluster, PaginationConfig={"PageSize": LISTED_AT_ONCE})
            return [arn for page in found for arn in page["serviceArns"]]
        except ClientError as error:
            if code_of(error) != "ClusterNotFoundException":
                raise
            return []

    def _describe(self, place: Place, services: Sequence[str]) -> list[Service]:
        """Those of them that exist; a cluster that does not holds none."""
        try:
            answer = self._ecs(place.role).describe_services(
                cluster=place.cluster, services=list(services), include=["TAGS"]
            )
        except ClientError as error:
            if code_of(error) not in GONE:
                raise
            return []
        for failure in answer.get("failures") or ():
            if failure.get("reason") != "MISSING":
                raise Retryable(f"ECS does not describe {failure.get('arn')}: {failure.get('reason')}")
        return [service for service in answer["services"] if service["status"] != "INACTIVE"]

    def _update(self, service_id: ServiceId, **changes: Any) -> Service | None:
        """The service after it; as it is, where it is being deleted."""
        with speaking():
            try:
                service: Service = self._ecs(service_id.role).update_service(
                    cluster=service_id.place.cluster, service=service_id.arn, **changes
                )["service"]
            except ClientError as error:
                if code_of(error) not in GONE:
                    raise
                return self.describe(service_id)
            return service

    def _stop_reasons(self, place: Place, service: Service) -> list[str]:
        """Of this rollout's tasks, the newest first; without what the environment of its containers holds."""
        with speaking():
            ecs, deployment = self._ecs(place.role), rollout(service).get("id")
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


def _place(config: EcsConfig) -> Place:
    return Place(config.cluster, config.assume_role_arn)


def _draining(service: Service) -> str:
    return f"{service['runningCount']} of its tasks are still stopping"
