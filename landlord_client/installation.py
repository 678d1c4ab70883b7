"""Providers, nodes, tokens, pauses and the consistency check. See `exchange` for why these are generators."""

from typing import Any, Literal

from landlord_client.exchange import Operation, Request, Stream, get, order, paged, quoted, read, send
from landlord_client.models import Consistency, NewToken, NodeDrain, Nodes, Pauses, Providers, Token, TokenPage, Trail
from landlord_client.tenants import LARGEST_PAGE

TRAIL_SECONDS = 300.0
"""For a trail of millions of events."""
CONSISTENCY_SECONDS = 120.0
"""Every provider lists all its resources."""


def list_providers() -> Operation[Providers]:
    """The enabled providers and their health."""
    return get("/v1/providers", Providers)


def list_nodes() -> Operation[Nodes]:
    """The machines of the cluster, as its supervisor saw them last."""
    return get("/v1/nodes", Nodes)


def drain_node(name: str, *, tenants: bool = False) -> Operation[NodeDrain]:
    """Start no actor and place no tenant there any more. `tenants`: move its tenants to other nodes, one by one."""
    query = {"tenants": "true"} if tenants else None
    return order("POST", f"/v1/nodes/{quoted(name)}/drain", NodeDrain, query=query)


def undrain_node(name: str) -> Operation[NodeDrain]:
    """End the drain of a node."""
    return order("POST", f"/v1/nodes/{quoted(name)}/undrain", NodeDrain)


def provider_schema(name: str) -> Operation[dict[str, Any]]:
    """JSON Schema 2020-12 of a compute provider's config."""
    path = f"/v1/providers/compute/{quoted(name)}/schema"
    return dict(read((yield from send(Request("GET", path, {}, {})))))


def create_token(
    name: str,
    role: str,
    *,
    expires_in_seconds: int | Literal["never"] | None = None,
    name_prefix: str = "",
    selector: str = "",
) -> Operation[NewToken]:
    """A new bearer token. `expires_in_seconds` None: after 90 days. `name_prefix`, `selector`: the only tenants
    that it reaches. Its secret is in this answer and nowhere else. The request is never sent twice: if the
    connection breaks, there may be a token whose secret is lost; revoke it."""
    document: dict[str, Any] = {"name": name, "role": role, "expires_in_seconds": expires_in_seconds}
    # An older server does not know them, and refuses what it does not know: it gives no token without bounds.
    document |= {"name_prefix": name_prefix} if name_prefix else {}
    document |= {"selector": selector} if selector else {}
    return order("POST", "/v1/tokens", NewToken, document, tries=1)


def iterate_tokens() -> Stream[Token]:
    """All tokens by name, including revoked and expired ones."""
    return paged(lambda cursor: get("/v1/tokens", TokenPage, limit=LARGEST_PAGE, cursor=cursor))


def revoke_token(name: str) -> Operation[Token]:
    """Revoke a token for good."""
    return order("DELETE", f"/v1/tokens/{quoted(name)}", Token)


def list_pauses() -> Operation[Pauses]:
    """The pauses that cover more than single tenants."""
    return get("/v1/admin/pause", Pauses)


def pause(provider: str | None) -> Operation[Pauses]:
    """Begin nothing new for the tenants of a provider. None: for all tenants."""
    return order("POST", "/v1/admin/pause", Pauses, _scope(provider))


def resume(provider: str | None) -> Operation[Pauses]:
    """End the pause with the same argument; other pauses stay."""
    return order("POST", "/v1/admin/resume", Pauses, _scope(provider))


def consistency() -> Operation[Consistency]:
    """Compare rows with actors and resources, now."""
    return get("/v1/admin/consistency", Consistency, patience=CONSISTENCY_SECONDS)


def metrics() -> Operation[str]:
    """The control plane in numbers, as Prometheus reads them."""
    answer = yield from send(Request("GET", "/metrics", {}, {"Accept": "text/plain"}))
    return answer.text if answer.success else str(read(answer))


def verify_trail(noted: str | None = None) -> Operation[Trail]:
    """Check that the audit trail is unchanged. `noted`: `ID:HASH` of an earlier head."""
    return get("/v1/admin/trail", Trail, patience=TRAIL_SECONDS, noted=noted)


def _scope(provider: str | None) -> dict[str, Any]:
    return {"all": True} if provider is None else {"provider": provider}
