"""Names in Ray: one namespace, one actor a tenant, one supervisor."""

NAMESPACE = "landlord"
SUPERVISOR = "supervisor"


def tenant_actor(name: str) -> str:
    return f"tenant:{name}"
