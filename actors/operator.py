"""For operators' scripts: the live actors, seen from a Ray client.

    import ray
    from actors.operator import Operator

    ray.init("ray://127.0.0.1:10001", namespace="landlord")   # address and token: see docs/operations.md
    operator = Operator()
    print(operator.supervisor()["sweep"])
    print(operator.tenant("acme"))

Everything here looks or wakes; nothing here changes a tenant's spec. Use the API for that.
"""

from typing import Any

import ray

from actors.naming import NAMESPACE, SUPERVISOR, shared_actor, tenant_actor

ANSWER_SECONDS = 10.0


class Operator:
    """Blocking calls on live actors, bounded by ANSWER_SECONDS. Raises LookupError if there is no such actor, and
    ray.exceptions.GetTimeoutError if it does not answer."""

    def supervisor(self) -> dict[str, Any]:
        """`describe` of the supervisor: live tenants, ceiling, queue, the last sweep's stages, build, pid."""
        return self._ask(SUPERVISOR)

    def tenant(self, name: str) -> dict[str, Any]:
        """`describe` of a live tenant actor: tenant id, present work, build, pid."""
        return self._ask(tenant_actor(name))

    def live(self) -> list[str]:
        """Names of the tenants with live actors."""
        return list(self.supervisor()["live"])

    def dismiss(self, name: str) -> None:
        """Ask a live actor to leave as soon as it is at rest. Its tenant's compute stays."""
        ray.get(self._find(tenant_actor(name)).make_room.remote(), timeout=ANSWER_SECONDS)

    def shared(self, provider: str, verb: str, *arguments: Any) -> Any:
        """Call a method of the state that a provider keeps in memory: `shared("fake", "lose", instance_id)`."""
        return ray.get(self._find(shared_actor(provider)).call.remote(verb, *arguments), timeout=ANSWER_SECONDS)

    def _ask(self, actor: str) -> dict[str, Any]:
        return dict(ray.get(self._find(actor).describe.remote(), timeout=ANSWER_SECONDS))

    @staticmethod
    def _find(actor: str) -> Any:
        try:
            return ray.get_actor(actor, namespace=NAMESPACE)
        except ValueError:
            raise LookupError(f"no actor {actor!r} lives in this cluster") from None
