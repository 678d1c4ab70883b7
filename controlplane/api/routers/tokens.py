"""Bearer tokens, for admins. A secret is shown once, when it is made; only its hash is stored.

These routes take no Idempotency-Key: a stored answer would be a stored secret. Names are unique, so a repeated creation
is 409 and never a second token.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import ValidationError
from starlette.responses import Response

from controlplane.api import cursors
from controlplane.api.failures import invalid_body
from controlplane.api.mutations import JSON
from controlplane.api.openapi_parts import answers, body_of
from controlplane.api.paging import Cursor, Limit, page_of
from controlplane.api.replica import Here, by_token
from controlplane.api.schemas.requests import TokenCreate
from controlplane.api.schemas.token import TokenCreated, TokenOut, TokenPage
from controlplane.api.security import Admin
from controlplane.api.strict_json import read_object
from controlplane.errors import Refused
from controlplane.model import EventType
from controlplane.persistence import tokens
from controlplane.persistence.tokens import TokenRecord

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])


@router.post(
    "",
    operation_id="create_token",
    status_code=201,
    response_model=TokenCreated,
    responses=answers(TokenCreated, "forbidden", "token_exists", status=201, body=True),
    openapi_extra=body_of(TokenCreate),
)
async def create_token(request: Request, here: Here, caller: Admin) -> Response:
    """Create a token. Its secret is in this answer and nowhere else. It expires after 90 days unless told otherwise."""
    try:
        wanted = TokenCreate.model_validate(await read_object(request))
    except ValidationError as error:
        raise invalid_body(error) from None
    async with by_token(here, caller) as tx:
        record, secret = await tokens.create(
            tx.connection, wanted.name, wanted.role, expires_in_seconds=wanted.lasts, reach=wanted.reach
        )
        tx.record(EventType.TOKEN_CREATED, data=_told(record))
    made = TokenCreated(**TokenOut.of(record).model_dump(), token=secret)
    return Response(made.model_dump_json(), 201, {"Location": "/v1/tokens"}, JSON)


@router.get(
    "",
    operation_id="list_tokens",
    response_model=TokenPage,
    responses=answers(TokenPage, "forbidden", status=200),
)
async def list_tokens(here: Here, _: Admin, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List all tokens by name, including revoked and expired ones."""
    key = cursors.decode(cursor, "tokens", str)
    found = await tokens.page(here.database, after=key[0] if key else None, limit=limit + 1)
    items, more = page_of(found, limit)
    next_cursor = cursors.encode("tokens", items[-1].name) if more else None
    page = TokenPage(items=[TokenOut.of(record) for record in items], next_cursor=next_cursor)
    return Response(page.model_dump_json(), media_type=JSON)


@router.delete(
    "/{name}",
    operation_id="revoke_token",
    response_model=TokenOut,
    responses=answers(TokenOut, "forbidden", "token_not_found", "invalid_transition", status=200),
)
async def revoke_token(name: Annotated[str, Path(examples=["ci"])], here: Here, caller: Admin) -> Response:
    """Revoke a token at every replica. Revoking it twice changes nothing."""
    if name == tokens.ADMIN:
        raise Refused.invalid_transition(
            "the token `admin` is the installation's own: run `landlord up` with another in LANDLORD_ADMIN_TOKEN"
        )
    if not name.isascii() or not name.isprintable():
        raise _not_found(name)
    async with by_token(here, caller) as tx:
        record = await tokens.revoke(tx.connection, name)
        if record is None:
            raise _not_found(name)
        tx.record(EventType.TOKEN_REVOKED, data={"token_id": str(record.id), "name": record.name})
    here.tokens.forget(str(record.id))
    return Response(TokenOut.of(record).model_dump_json(), media_type=JSON)


def _told(token: TokenRecord) -> dict[str, Any]:
    """The token in the audit trail."""
    data = {"token_id": str(token.id), "name": token.name, "role": token.role}
    data |= {key: value for key in ("name_prefix", "selector") if (value := getattr(token, key))}
    return data if token.expires_at is None else {**data, "expires_at": token.expires_at.isoformat()}


def _not_found(name: str) -> Refused:
    return Refused(f"there is no token {name[:80]!r}", code="token_not_found", status=404)
