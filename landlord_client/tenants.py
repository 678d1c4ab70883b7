"""Tenants: create, read, change and await them. See `exchange` for why these are generators."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from landlord_client.errors import NotNow, Unreachable, WaitedTooLong
from landlord_client.exchange import (
    Item,
    Now,
    Operation,
    Request,
    Sleep,
    Stream,
    get,
    mutate,
    order,
    paged,
    quoted,
    read,
    refuse,
    selectors,
    send,
)
from landlord_client.models import CommandEnd, Plan, Tenant, TenantPage

POLL_SECONDS = 0.25
FOLLOW_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""Who follows looks for a server for this time."""
DRY_RUN = {"dry_run": "true"}
LARGEST_PAGE = 500


def create_tenant(
    document: Mapping[str, Any], *, wait: int | None = None, idempotency_key: str | None = None
) -> Operation[Tenant]:
    """Create a tenant. `document`: name, spec, and maybe labels and annotations. `wait`: the server answers only
    once the execution has ended or that many seconds (at most 60) have passed.

    >>> spec = {"compute": {"provider": "docker", "config": {"image": "web:1"}}}
    >>> tenant = client.create_tenant({"name": "acme", "labels": {"tier": "gold"}, "spec": spec})
    >>> tenant.name, tenant.generation
    ('acme', 1)
    """
    return mutate("POST", "/v1/tenants", Tenant, document, wait=wait, idempotency_key=idempotency_key)


def plan_create(document: Mapping[str, Any]) -> Operation[Plan]:
    """The plan of `create_tenant`, with the same refusals. Nothing is stored."""
    return mutate("POST", "/v1/tenants", Plan, document, query=DRY_RUN)


def get_tenant(name: str) -> Operation[Tenant]:
    """A tenant by name or UUID; a deleted tenant by UUID only.

    >>> client.get_tenant("acme").labels
    {'tier': 'gold'}
    """
    return get(f"/v1/tenants/{quoted(name)}", Tenant)


def list_tenants(
    *,
    status: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    selector: str | Sequence[str] = (),
    name_prefix: str = "",
    lagging: bool = False,
    limit: int = 50,
    cursor: str | None = None,
) -> Operation[TenantPage]:
    """One page of the tenants that are not deleted, by name. `selector`: label selectors such as `a=b,c!=d`; all
    must match. `lagging`: only tenants whose newest generation has not succeeded yet."""
    return get(
        "/v1/tenants",
        TenantPage,
        status=list(status),
        label=selectors(labels, selector),
        name_prefix=name_prefix,
        lagging=lagging or None,
        limit=limit,
        cursor=cursor,
    )


def iterate_tenants(
    *,
    status: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    selector: str | Sequence[str] = (),
    name_prefix: str = "",
) -> Stream[Tenant]:
    """All matching tenants, page by page.

    >>> [tenant.name for tenant in client.iterate_tenants(selector="tier=gold")]
    ['acme']
    """

    def page_at(cursor: str | None) -> Operation[TenantPage]:
        return list_tenants(
            status=status, labels=labels, selector=selector, name_prefix=name_prefix, limit=LARGEST_PAGE, cursor=cursor
        )

    return paged(page_at)


def update_tenant(
    name: str,
    patch: Mapping[str, Any],
    *,
    if_match: int | None = None,
    wait: int | None = None,
    idempotency_key: str | None = None,
) -> Operation[Tenant]:
    """Change a tenant. `patch`: a JSON Merge Patch of spec, labels, annotations. `if_match`: the version that the
    patch was made for.

    >>> tenant = client.get_tenant("acme")
    >>> client.update_tenant("acme", {"labels": {"team": "blue"}}, if_match=tenant.version).labels
    {'tier': 'gold', 'team': 'blue'}
    """
    path = f"/v1/tenants/{quoted(name)}"
    return mutate("PATCH", path, Tenant, patch, if_match=if_match, wait=wait, idempotency_key=idempotency_key)


def plan_update(name: str, patch: Mapping[str, Any]) -> Operation[Plan]:
    """The plan of `update_tenant`, with the same refusals. Nothing is stored."""
    return mutate("PATCH", f"/v1/tenants/{quoted(name)}", Plan, patch, query=DRY_RUN)


def delete_tenant(
    name: str,
    *,
    force: bool = False,
    if_match: int | None = None,
    wait: int | None = None,
    idempotency_key: str | None = None,
) -> Operation[Tenant]:
    """Delete a tenant. `force`: mark it deleted now and abandon its compute (admin)."""
    return mutate(
        "DELETE",
        f"/v1/tenants/{quoted(name)}",
        Tenant,
        query={"force": "true"} if force else None,
        if_match=if_match,
        wait=wait,
        idempotency_key=idempotency_key,
    )


def retry_tenant(name: str, *, idempotency_key: str | None = None) -> Operation[Tenant]:
    """Run the failed execution of the newest generation again."""
    return _act(name, "retry", idempotency_key)


def redeploy_tenant(name: str, *, idempotency_key: str | None = None) -> Operation[Tenant]:
    """Run the newest generation again, with its image pulled; the old resource goes once the new one is healthy."""
    return _act(name, "redeploy", idempotency_key)


def restart_tenant(name: str, *, idempotency_key: str | None = None) -> Operation[Tenant]:
    """Restart what serves, in place. While another execution is under way, that one is the answer."""
    return _act(name, "restart", idempotency_key)


def reconcile_tenant(name: str, *, idempotency_key: str | None = None) -> Operation[Tenant]:
    """Wake the tenant's actor to compare the tenant with reality now."""
    return _act(name, "reconcile", idempotency_key)


def pause_tenant(name: str, *, idempotency_key: str | None = None) -> Operation[Tenant]:
    """Begin nothing new for the tenant. Pausing it twice is success."""
    return _act(name, "pause", idempotency_key)


def resume_tenant(name: str, *, idempotency_key: str | None = None) -> Operation[Tenant]:
    """End the tenant's own pause; a pause of its provider or of all stays."""
    return _act(name, "resume", idempotency_key)


def tenant_logs(name: str, *, tail: int = 100) -> Operation[str]:
    """The last lines of its compute's output. Empty if there is none yet."""
    answer = yield from send(Request("GET", f"/v1/tenants/{quoted(name)}/logs", {"tail": tail}, {}))
    return answer.text if answer.success else str(read(answer))


def follow_logs(name: str, *, tail: int = 100) -> Stream[str]:
    """The last lines of its compute's output, and then what comes, piece by piece, until the tenant is deleted. It goes
    on over restarts of the server, and with what replaces the compute. A piece may end within a line.

    Raises LogsNotSupported if its provider cannot be followed, and the problem of a platform or a server that was away
    for a minute."""
    identity = (yield from get_tenant(name)).id
    cursor = ""
    heard: float = yield Now()
    while True:
        try:
            request = Request("GET", f"/v1/tenants/{quoted(identity)}/logs", {"tail": tail, "after": cursor}, {})
            answer = yield from send(request)
            if not answer.success:
                refuse(answer)
            heard = yield Now()
            cursor = answer.headers.get("log-cursor", cursor)
            if answer.text:
                yield Item(answer.text)
            elif (yield from get_tenant(identity)).status == "deleted":
                return
        except (Unreachable, NotNow):
            now: float = yield Now()
            if now - heard > PATIENCE_SECONDS:
                raise
        yield Sleep(FOLLOW_SECONDS)


def exec_in_tenant(name: str, command: Sequence[str], *, timeout: float = 10.0) -> Operation[CommandEnd]:
    """Run a command in what serves the tenant, and wait for its end, `timeout` seconds (at most 15). It is never asked
    for twice: if the connection breaks, it may have run. Raises ExecNotSupported if its provider runs none."""
    body = {"command": list(command), "timeout_seconds": timeout}
    return order("POST", f"/v1/tenants/{quoted(name)}/exec", CommandEnd, body, tries=1)


def wait_tenant(
    name: str,
    *,
    timeout: float,
    changed: Callable[[Tenant], None] | None = None,
    looked: Callable[[Tenant], None] | None = None,
) -> Operation[Tenant]:
    """Returns the tenant once the execution of its newest generation has ended and its status rests (ready,
    degraded, failed or deleted). Calls `changed` with each state on the way, and `looked` at each look.

    Survives restarts of the server. Raises WaitedTooLong after `timeout` seconds.

    >>> client.wait_tenant("acme", timeout=60).status
    'ready'
    """
    now: float = yield Now()
    deadline = now + timeout
    identity, seen = name, None
    while True:
        try:
            tenant = yield from get_tenant(identity)
            # Use the id from now on: the name is gone once the tenant is deleted.
            identity = tenant.id
            if changed is not None and tenant != seen:
                changed(tenant)
            if looked is not None:
                looked(tenant)
            seen = tenant
            if tenant.settled:
                return tenant
        except Unreachable:
            now = yield Now()
            if now > deadline:
                raise
        now = yield Now()
        if now > deadline:
            state = f"is still {seen.status}" if seen else "was not seen"
            raise WaitedTooLong(f"tenant {name!r} {state} after {timeout:g} s")
        yield Sleep(POLL_SECONDS)


def _act(name: str, verb: str, idempotency_key: str | None) -> Operation[Tenant]:
    return mutate("POST", f"/v1/tenants/{quoted(name)}/{verb}", Tenant, idempotency_key=idempotency_key)
