"""What this installation lets an ECS service have, beyond what can work at all.

A control plane may often do more in its account than a tenant should: pass a role, run an existing definition, act as a
role of somebody else. So each of these is shut until a setting lists what may be named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self

from controlplane.settings import Settings
from providers.compute.ecs import surroundings
from providers.compute.ecs.config import EcsConfig
from providers.kit.configs import Problems

HOST_ACCESS = "gives access to the container instance, which LANDLORD_ECS_ALLOW_HOST_ACCESS does not allow here"


@dataclass(frozen=True, slots=True)
class EcsPolicy:
    """Each list has patterns, in which `*` stands for any text. `roles`: to assume. `task_roles`: task and execution
    roles. `task_definitions`: existing ones, as specs name them. `targets`: target groups, registries of Cloud Map and
    namespaces of Service Connect."""

    allow_host_access: bool = False
    roles: Sequence[str] = ()
    task_roles: Sequence[str] = ()
    task_definitions: Sequence[str] = ()
    targets: Sequence[str] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            allow_host_access=settings.ecs_allow_host_access,
            roles=settings.ecs_roles,
            task_roles=settings.ecs_task_roles,
            task_definitions=settings.ecs_task_definitions,
            targets=settings.ecs_targets,
        )

    def problems(self, config: EcsConfig) -> Problems:
        found = [] if self.allow_host_access else [{"loc": loc, "message": HOST_ACCESS} for loc in config.host_access()]
        named: list[tuple[str, Any, Sequence[str], str]] = [
            (f"task_definition.{name}", value, self.task_roles, "LANDLORD_ECS_TASK_ROLES")
            for name, value in config.task_roles()
        ]
        named += [(loc, value, self.targets, "LANDLORD_ECS_TARGETS") for loc, value in surroundings.named(config)]
        if config.definition is None:
            named.append(
                ("task_definition", config.task_definition, self.task_definitions, "LANDLORD_ECS_TASK_DEFINITIONS")
            )
        if config.assume_role_arn is not None:
            named.append(("assume_role_arn", config.assume_role_arn, self.roles, "LANDLORD_ECS_ROLES"))
        found += [
            {"loc": loc, "message": f"tenants may not name this here; {setting} lists what they may name"}
            for loc, value, patterns, setting in named
            if not _listed(value, patterns)
        ]
        return found


def _listed(value: Any, patterns: Sequence[str]) -> bool:
    """A reference to a secret is not listed: nobody knows what it will say."""
    if not isinstance(value, str):
        return False
    return any(fnmatchcase(value, pattern.replace("[", "[[]").replace("?", "[?]")) for pattern in patterns)
