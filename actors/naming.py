"""Names in Ray: one namespace, one actor a tenant, one supervisor."""

NAMESPACE = "landlord"
SUPERVISOR = "supervisor"


_TENANT = "tenant:"


def tenant_actor(name: str) -> str:
    return f"{_TENANT}{name}"


def shared_actor(provider: str) -> str:
    return f"shared:{provider}"


def outpost_actor(node: str) -> str:
    return f"outpost:{node}"


def name_of_tenant(actor: str) -> str | None:
    """The inverse. None for an actor that is no tenant's."""
    return actor.removeprefix(_TENANT) if actor.startswith(_TENANT) else None
