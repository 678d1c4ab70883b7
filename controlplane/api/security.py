"""Who may: a bearer token, whose role must be at least the route's."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from controlplane.api.replica import Here, Replica
from controlplane.errors import Refused
from controlplane.persistence.tokens import Role, Token

_MAX_TOKEN = 512
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="`Authorization: Bearer …`, from `$LANDLORD_HOME/token` or POST /v1/tokens.",
)


class Requires:
    """A dependency: the caller's token, at least of `role`. Raises Refused unauthorized (401), forbidden (403), and
    rate_limited (429) where a limit is set."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(
        self,
        request: Request,
        here: Here,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Token:
        secret = credentials.credentials if credentials else ""
        token = await here.tokens.find(secret) if 0 < len(secret) <= _MAX_TOKEN else None
        if token is None:
            raise Refused(
                "send a valid token: `Authorization: Bearer …`",
                code="unauthorized",
                status=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
        self._count(request, here, token)
        require_role(token, self.role)
        return token

    def _count(self, request: Request, here: Replica, token: Token) -> None:
        """The outermost layer puts the allowance on the answer. Raises Refused rate_limited (429)."""
        if not here.rates.on:
            return
        allowed, allowance = here.rates.take(token.id)
        request.state.allowance = allowance
        if not allowed:
            raise Refused(
                f"token {token.name!r} asks too often; try again in {allowance.reset} s",
                code="rate_limited",
                status=429,
                headers={"Retry-After": str(allowance.reset)},
            )


def require_role(token: Token, role: Role, why: str = "this request") -> None:
    """Raises Refused forbidden."""
    if not token.may(role):
        raise Refused(
            f"{why} needs the role {role}; token {token.name!r} has {token.role}", code="forbidden", status=403
        )


Viewer = Annotated[Token, Depends(Requires("viewer"))]
Operator = Annotated[Token, Depends(Requires("operator"))]
Admin = Annotated[Token, Depends(Requires("admin"))]
