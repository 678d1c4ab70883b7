"""Providers, tokens, pauses and the consistency check."""

from collections.abc import Iterator
from typing import Any, Literal, cast

from controlplane.client.documents import (
    ConsistencyDocument,
    NewTokenDocument,
    PausesDocument,
    ProvidersDocument,
    TokenDocument,
    TokenPage,
    TrailDocument,
)
from controlplane.client.wire import Wire, quoted

TRAIL_SECONDS = 300.0
"""Seconds, for a trail of millions of events."""
CONSISTENCY_SECONDS = 120.0
"""Seconds. Every provider lists all its resources."""


class InstallationApi(Wire):
    """The calls of `Client` about the installation itself."""

    def list_providers(self) -> ProvidersDocument:
        """The enabled providers and their health."""
        return cast(ProvidersDocument, self._send("GET", "/v1/providers"))

    def provider_schema(self, name: str) -> dict[str, Any]:
        """JSON Schema 2020-12 of a compute provider's config."""
        return cast(dict[str, Any], self._send("GET", f"/v1/providers/compute/{quoted(name)}/schema"))

    def create_token(
        self,
        name: str,
        role: str,
        *,
        expires_in_seconds: int | Literal["never"] | None = None,
        name_prefix: str = "",
        selector: str = "",
    ) -> NewTokenDocument:
        """A new bearer token. `expires_in_seconds` None: after 90 days. `name_prefix`, `selector`: the only tenants
        that it reaches. Its secret is in this answer and nowhere else. The request is never sent twice: if the
        connection breaks, there may be a token whose secret is lost; revoke it."""
        document: dict[str, Any] = {"name": name, "role": role, "expires_in_seconds": expires_in_seconds}
        # An older server does not know them, and refuses what it does not know: it gives no token without bounds.
        document |= {"name_prefix": name_prefix} if name_prefix else {}
        document |= {"selector": selector} if selector else {}
        return cast(NewTokenDocument, self._send("POST", "/v1/tokens", json=document, tries=1))

    def iterate_tokens(self) -> Iterator[TokenDocument]:
        """All tokens by name, including revoked and expired ones."""
        cursor = None
        while True:
            page = cast(TokenPage, self._send("GET", "/v1/tokens", params={"limit": 500, "cursor": cursor}))
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def revoke_token(self, name: str) -> TokenDocument:
        """Revoke a token for good."""
        return cast(TokenDocument, self._send("DELETE", f"/v1/tokens/{quoted(name)}"))

    def list_pauses(self) -> PausesDocument:
        """The pauses that cover more than single tenants."""
        return cast(PausesDocument, self._send("GET", "/v1/admin/pause"))

    def pause(self, provider: str | None) -> PausesDocument:
        """Begin nothing new for the tenants of a provider. None: for all tenants."""
        return cast(PausesDocument, self._send("POST", "/v1/admin/pause", json=_scope(provider)))

    def resume(self, provider: str | None) -> PausesDocument:
        """End the pause with the same argument; other pauses stay."""
        return cast(PausesDocument, self._send("POST", "/v1/admin/resume", json=_scope(provider)))

    def consistency(self) -> ConsistencyDocument:
        """Compare rows with actors and resources, now."""
        return cast(ConsistencyDocument, self._send("GET", "/v1/admin/consistency", timeout=CONSISTENCY_SECONDS))

    def verify_trail(self, noted: str | None = None) -> TrailDocument:
        """Check that the audit trail is unchanged. `noted`: `ID:HASH` of an earlier head."""
        return cast(TrailDocument, self._send("GET", "/v1/admin/trail", params={"noted": noted}, timeout=TRAIL_SECONDS))


def _scope(provider: str | None) -> dict[str, Any]:
    return {"all": True} if provider is None else {"provider": provider}
