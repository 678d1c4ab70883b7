"""Tenants: create, read, change and await them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from controlplane.client.documents import PlanDocument, TenantDocument, TenantPage
from controlplane.client.wire import Unreachable, Wire, quoted
from controlplane.errors import DeadlineExceeded

POLL_SECONDS = 0.25
DRY_RUN = {"dry_run": "true"}
ENDED = frozenset({"succeeded", "failed", "cancelled", "superseded"})
RESTING = frozenset({"ready", "degraded", "failed", "deleted"})


class Tenants(Wire):
    """The calls of `Client` about tenants."""

    def create_tenant(
        self, document: Mapping[str, Any], *, wait: int | None = None, idempotency_key: str | None = None
    ) -> TenantDocument:
        """Create a tenant. `document`: name, spec, and maybe labels and annotations. `wait`: the server answers only
        once the execution has ended or that many seconds (at most 60) have passed."""
        found = self._mutate("POST", "/v1/tenants", json=document, wait=wait, idempotency_key=idempotency_key)
        return cast(TenantDocument, found)

    def plan_create(self, document: Mapping[str, Any]) -> PlanDocument:
        """The plan of `create_tenant`, with the same refusals. Nothing is stored."""
        return cast(PlanDocument, self._mutate("POST", "/v1/tenants", json=document, params=DRY_RUN))

    def get_tenant(self, name: str) -> TenantDocument:
        """A tenant by name or UUID; a deleted tenant by UUID only."""
        return cast(TenantDocument, self._send("GET", f"/v1/tenants/{quoted(name)}"))

    def list_tenants(
        self,
        *,
        status: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        selector: str | Sequence[str] = (),
        name_prefix: str = "",
        lagging: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> TenantPage:
        """One page of the tenants that are not deleted, by name. `selector`: label selectors such as `a=b,c!=d`; all
        must match. `lagging`: only tenants whose newest generation has not succeeded yet."""
        selectors = [selector] if isinstance(selector, str) else list(selector)
        pairs = [f"{key}={value}" for key, value in (labels or {}).items()]
        query = {
            "status": list(status),
            "label": pairs + selectors,
            "name_prefix": name_prefix,
            "lagging": lagging or None,
            "limit": limit,
            "cursor": cursor,
        }
        return cast(TenantPage, self._send("GET", "/v1/tenants", params=query))

    def iterate_tenants(
        self,
        *,
        status: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        selector: str | Sequence[str] = (),
        name_prefix: str = "",
    ) -> Iterator[TenantDocument]:
        """All matching tenants, page by page."""
        cursor = None
        while True:
            page = self.list_tenants(
                status=status, labels=labels, selector=selector, name_prefix=name_prefix, limit=500, cursor=cursor
            )
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def update_tenant(
        self,
        name: str,
        patch: Mapping[str, Any],
        *,
        if_match: int | None = None,
        wait: int | None = None,
        idempotency_key: str | None = None,
    ) -> TenantDocument:
        """Change a tenant. `patch`: a JSON Merge Patch of spec, labels, annotations. `if_match`: the version that the
        patch was made for."""
        found = self._mutate(
            "PATCH",
            f"/v1/tenants/{quoted(name)}",
            json=patch,
            if_match=if_match,
            wait=wait,
            idempotency_key=idempotency_key,
        )
        return cast(TenantDocument, found)

    def plan_update(self, name: str, patch: Mapping[str, Any]) -> PlanDocument:
        """The plan of `update_tenant`, with the same refusals. Nothing is stored."""
        path = f"/v1/tenants/{quoted(name)}"
        return cast(PlanDocument, self._mutate("PATCH", path, json=patch, params=DRY_RUN))

    def delete_tenant(
        self,
        name: str,
        *,
        force: bool = False,
        if_match: int | None = None,
        wait: int | None = None,
        idempotency_key: str | None = None,
    ) -> TenantDocument:
        """Delete a tenant. `force`: mark it deleted now and abandon its compute (admin)."""
        found = self._mutate(
            "DELETE",
            f"/v1/tenants/{quoted(name)}",
            params={"force": "true"} if force else None,
            if_match=if_match,
            wait=wait,
            idempotency_key=idempotency_key,
        )
        return cast(TenantDocument, found)

    def retry_tenant(self, name: str, *, idempotency_key: str | None = None) -> TenantDocument:
        """Run the failed execution of the newest generation again."""
        return self._act(name, "retry", idempotency_key)

    def redeploy_tenant(self, name: str, *, idempotency_key: str | None = None) -> TenantDocument:
        """Run the newest generation again, with its image pulled; the old resource goes once the new one is healthy."""
        return self._act(name, "redeploy", idempotency_key)

    def reconcile_tenant(self, name: str, *, idempotency_key: str | None = None) -> TenantDocument:
        """Wake the tenant's actor to compare the tenant with reality now."""
        return self._act(name, "reconcile", idempotency_key)

    def pause_tenant(self, name: str, *, idempotency_key: str | None = None) -> TenantDocument:
        """Begin nothing new for the tenant. Pausing it twice is success."""
        return self._act(name, "pause", idempotency_key)

    def resume_tenant(self, name: str, *, idempotency_key: str | None = None) -> TenantDocument:
        """End the tenant's own pause; a pause of its provider or of all stays."""
        return self._act(name, "resume", idempotency_key)

    def tenant_logs(self, name: str, *, tail: int = 100) -> str:
        """The last lines of its compute's output. Empty if there is none yet."""
        answer = self._request("GET", f"/v1/tenants/{quoted(name)}/logs", params={"tail": tail})
        return answer.text if answer.is_success else str(self._read(answer))

    def wait_tenant(
        self,
        name: str,
        *,
        timeout: float,
        changed: Callable[[TenantDocument], None] | None = None,
        looked: Callable[[TenantDocument], None] | None = None,
    ) -> TenantDocument:
        """Returns the tenant once the execution of its newest generation has ended and its status rests (ready,
        degraded, failed or deleted). Calls `changed` with each state on the way, and `looked` at each look.

        Survives restarts of the server. Raises DeadlineExceeded after `timeout` seconds.
        """
        deadline = self._clock() + timeout
        identity, seen = name, None
        while True:
            try:
                tenant = self.get_tenant(identity)
                # Use the id from now on: the name is gone once the tenant is deleted.
                identity = tenant["id"]
                if changed is not None and tenant != seen:
                    changed(tenant)
                if looked is not None:
                    looked(tenant)
                seen = tenant
                if settled(tenant):
                    return tenant
            except Unreachable:
                if self._clock() > deadline:
                    raise
            if self._clock() > deadline:
                state = f"is still {seen['status']}" if seen else "was not seen"
                raise DeadlineExceeded(f"tenant {name!r} {state} after {timeout:g} s", tenant=name)
            self._sleep(POLL_SECONDS)

    def _act(self, name: str, verb: str, idempotency_key: str | None) -> TenantDocument:
        path = f"/v1/tenants/{quoted(name)}/{verb}"
        return cast(TenantDocument, self._mutate("POST", path, idempotency_key=idempotency_key))


def settled(tenant: TenantDocument) -> bool:
    """True if nothing is under way for the tenant."""
    return tenant["status"] in RESTING and tenant["workflow"]["state"] in ENDED
