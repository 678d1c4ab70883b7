"""Authorisation by a bearer token. The token's role must be at least the route's."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from sqlalchemy.exc import SQLAlchemyError

from controlplane.api.access import note
from controlplane.api.parameters import refuse_unknown_parameters
from controlplane.api.replica import Here, Replica, of
from controlplane.api.strangers import client_of
from controlplane.errors import Refused
from controlplane.persistence.tokens import Role, Token

_MAX_TOKEN = 512
_DESCRIPTION = "`Authorization: Bearer …`, from `$LANDLORD_HOME/token` or POST /v1/tokens."


class Requires(HTTPBearer):
    """A dependency: the caller's token, with at least `role`. What only admins may do is about all tenants, so it
    takes a token that reaches them all; so does what is about the `whole` installation. It has no dependencies of its
    own, since each costs every request as much as the look-up of the token.

    Raises Refused unauthorized (401), forbidden (403), validation_failed (400) for a query parameter that the route
    does not have, and rate_limited (429) if a limit is set, and for an address that sends many unknown tokens."""

    def __init__(self, role: Role, *, whole: bool = False) -> None:
        super().__init__(scheme_name="bearer", description=_DESCRIPTION, auto_error=False)
        self.role = role
        self.whole = whole or role == "admin"

    async def __call__(self, request: Request) -> Token:  # type: ignore[override]  # the scheme gives what was sent
        here = await of(request)
        secret = _secret(request)
        token = await here.tokens.find(secret) if 0 < len(secret) <= _MAX_TOKEN else None
        if token is None:
            raise _unknown(request, here, "unknown token" if secret else "no token")
        note(request.scope, token=token.name, token_id=str(token.id), role=token.role)
        self._count(request, here, token)
        require_role(token, self.role)
        if self.whole and not token.reach.everything:
            raise Refused("this request is about the whole installation", code="forbidden", status=403)
        here.last_use.note(token.id)
        refuse_unknown_parameters(request)
        return token

    def _count(self, request: Request, here: Replica, token: Token) -> None:
        """Count the request; the outermost layer puts the allowance on the answer. Raises Refused rate_limited
        (429)."""
        if not here.rates.on:
            return
        allowed, allowance = here.rates.take(token.id)
        request.state.allowance = allowance
        if not allowed:
            raise Refused(
                f"token {token.name!r} sends too many requests; try again in {allowance.reset} s",
                code="rate_limited",
                status=429,
                headers={"Retry-After": str(allowance.reset)},
            )


class RequiresUnlessOpen(Requires):
    """A dependency for what is about the whole installation: a token with at least `role` that reaches all tenants; or
    nothing at all, with LANDLORD_METRICS_OPEN. Raises what `Requires` raises."""

    async def __call__(self, request: Request) -> Token | None:  # type: ignore[override]  # None: open to everybody
        if (await of(request)).settings.metrics_open:
            refuse_unknown_parameters(request)
            return None
        token = await super().__call__(request)
        if not token.reach.everything:
            raise Refused("this request is about the whole installation", code="forbidden", status=403)
        return token


async def token_if_any(request: Request, here: Here) -> Token | None:
    """The caller's token if it is valid and can be looked up. For routes that are open to everyone and say more to
    callers with a token."""
    secret = _secret(request)
    if not 0 < len(secret) <= _MAX_TOKEN:
        return None
    try:
        token = await here.tokens.find(secret)
    except (OSError, SQLAlchemyError):
        return None
    if token is not None:
        note(request.scope, token=token.name, token_id=str(token.id), role=token.role)
    return token


def _secret(request: Request) -> str:
    """What the request sent as a bearer token; empty for nothing."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _unknown(request: Request, here: Replica, why: str) -> Refused:
    refusal = here.strangers.refuse(client_of(request.scope))
    note(request.scope, refused=why, quiet=not refusal.logged, unlogged=refusal.unlogged or None)
    if refusal.seconds:
        return Refused(
            f"too many requests without a valid token; try again in {refusal.seconds} s",
            code="rate_limited",
            status=429,
            headers={"Retry-After": str(refusal.seconds)},
        )
    return Refused(
        "send a valid token in the header `Authorization`",
        code="unauthorized",
        status=401,
        headers={"WWW-Authenticate": "Bearer"},
    )


def require_role(token: Token, role: Role, why: str = "this request") -> None:
    """Raises Refused forbidden."""
    if not token.may(role):
        raise Refused(
            f"{why} needs the role {role}; token {token.name!r} has {token.role}", code="forbidden", status=403
        )


Viewer = Annotated[Token, Depends(Requires("viewer"))]
Overseer = Annotated[Token, Depends(Requires("viewer", whole=True))]
"""A viewer of the whole installation."""
Operator = Annotated[Token, Depends(Requires("operator"))]
Admin = Annotated[Token, Depends(Requires("admin"))]
Anybody = Annotated[Token | None, Depends(token_if_any)]
Monitor = Annotated[Token | None, Depends(RequiresUnlessOpen("viewer"))]
