"""The roles that lead to tenants' services, kept in the Parameter Store of the control plane's own account.

A tenant's config names the role that reaches its account, but a list of all our services has no config. So a role is
recorded before its first use, below `/landlord/<owner>/<tenant id>/`, and forgotten with the tenant. If no tenant names
a role, nothing is ever written.
"""

import hashlib
from uuid import UUID

from providers.aws.clients import AwsClients
from providers.compute.ecs.service import Acting

DELETED_AT_ONCE = 10
"""One DeleteParameters takes this many names."""


class Roles:
    """Blocks; raises the errors of AWS's clients. `record` and `forget` may be repeated."""

    def __init__(self, clients: AwsClients) -> None:
        self._clients = clients

    def record(self, installation_id: str, tenant_id: UUID, role: str) -> None:
        """Store the role. Returns once it is stored. Two recorders of the same role write the same parameter."""
        name = f"{_path(installation_id, tenant_id)}{hashlib.sha256(role.encode()).hexdigest()[:16]}"
        self._clients.client("ssm").put_parameter(Name=name, Value=role, Type="String", Overwrite=True)

    def of(self, installation_id: str, tenant_id: UUID | None = None) -> list[Acting]:
        """The roles of a tenant, or of all, each once: for the first of the tenants that have it."""
        found: dict[str, Acting] = {}
        for name, role in sorted(self._parameters(installation_id, tenant_id)):
            found.setdefault(role, Acting(role, name.removeprefix("/landlord/").rpartition("/")[0]))
        return [found[role] for role in sorted(found)]

    def forget(self, installation_id: str, tenant_id: UUID) -> None:
        names = [name for name, _ in self._parameters(installation_id, tenant_id)]
        for first in range(0, len(names), DELETED_AT_ONCE):
            self._clients.client("ssm").delete_parameters(Names=names[first : first + DELETED_AT_ONCE])

    def _parameters(self, installation_id: str, tenant_id: UUID | None) -> list[tuple[str, str]]:
        pages = self._clients.client("ssm").get_paginator("get_parameters_by_path")
        found = pages.paginate(Path=_path(installation_id, tenant_id), Recursive=True)
        return [(item["Name"], item["Value"]) for page in found for item in page["Parameters"]]


def _path(installation_id: str, tenant_id: UUID | None) -> str:
    return f"/landlord/{installation_id}/" if tenant_id is None else f"/landlord/{installation_id}/{tenant_id}/"
