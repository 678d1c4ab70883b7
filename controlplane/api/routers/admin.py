"""For admins: pauses of a provider or of all (one tenant is paused at its own path), and the findings of `landlord
doctor`."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from controlplane.api.consistency import differences, notes
from controlplane.api.failures import invalid_body
from controlplane.api.middleware.deadline import extend
from controlplane.api.mutations import JSON
from controlplane.api.openapi_parts import answers, body_of
from controlplane.api.replica import Here, Replica
from controlplane.api.schemas.installation import ConsistencyOut, DifferenceOut, NoteOut, Pauses, TrailOut
from controlplane.api.schemas.requests import PauseScope
from controlplane.api.security import Admin
from controlplane.api.strict_json import read_object
from controlplane.persistence import chain, pauses

router = APIRouter(prefix="/v1/admin", tags=["admin"])

_ALL = "all"
_LISTING_SECONDS = 90.0
"""Seconds. Every provider lists all its resources."""
_VERIFYING_SECONDS = 280.0
"""Seconds, for a trail of millions of events."""

Noted = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]{1,18}:[0-9a-f]{64}$", description="`ID:HASH` of an event, as an earlier check named its head."
    ),
]


@router.post(
    "/pause",
    operation_id="pause",
    response_model=Pauses,
    responses=answers(Pauses, "forbidden", "provider_not_enabled", status=200, body=True),
    openapi_extra=body_of(PauseScope),
)
async def pause(request: Request, here: Here, caller: Admin) -> Response:
    """Begin nothing new for tenants on one provider, or for all, until resumed. Pausing it twice is success."""
    scope = await _scope(request)
    if scope.provider is not None and scope.provider not in here.workflows:
        here.compute_provider(scope.provider)
    await pauses.pause_scope(here.database, _name(scope), actor=caller.name, token_id=caller.id)
    return await _paused(here)


@router.post(
    "/resume",
    operation_id="resume",
    response_model=Pauses,
    responses=answers(Pauses, "forbidden", status=200, body=True),
    openapi_extra=body_of(PauseScope),
)
async def resume(request: Request, here: Here, caller: Admin) -> Response:
    """End a pause. Pauses of single tenants and of other scopes stay."""
    await pauses.resume_scope(here.database, _name(await _scope(request)), actor=caller.name, token_id=caller.id)
    return await _paused(here)


@router.get(
    "/pause", operation_id="list_pauses", response_model=Pauses, responses=answers(Pauses, "forbidden", status=200)
)
async def list_pauses(here: Here, _: Admin) -> Response:
    """List the pauses that cover more than single tenants."""
    return await _paused(here)


@router.get(
    "/consistency",
    operation_id="get_consistency",
    response_model=ConsistencyOut,
    responses=answers(ConsistencyOut, "forbidden", status=200),
)
async def get_consistency(request: Request, here: Here, _: Admin) -> Response:
    """Compare rows with actors and resources now, and name every difference."""
    extend(request, _LISTING_SECONDS)
    step_seconds = here.settings.step_timeout_seconds
    found = await differences(here.database, here.compute, here.directory, step_seconds=step_seconds)
    listed = [DifferenceOut.model_validate(asdict(difference)) for difference in found]
    weaker = [NoteOut.model_validate(asdict(note)) for note in await notes(here.database)]
    return Response(ConsistencyOut(differences=listed, notes=weaker).model_dump_json(), media_type=JSON)


@router.get(
    "/trail",
    operation_id="verify_trail",
    response_model=TrailOut,
    responses=answers(TrailOut, "forbidden", status=200),
)
async def verify_trail(request: Request, here: Here, _: Admin, noted: Noted = None) -> Response:
    """Check that the audit trail is unchanged: each event has a hash over itself and the one before."""
    extend(request, _VERIFYING_SECONDS)
    head = None
    if noted is not None:
        id, hash = noted.split(":")
        head = chain.Head(int(id), hash)
    found = TrailOut.model_validate(asdict(await chain.verify(here.database, noted=head)))
    return Response(found.model_dump_json(), media_type=JSON)


async def _scope(request: Request) -> PauseScope:
    try:
        return PauseScope.model_validate(await read_object(request))
    except ValidationError as error:
        raise invalid_body(error) from None


def _name(scope: PauseScope) -> str:
    return _ALL if scope.provider is None else f"provider:{scope.provider}"


async def _paused(here: Replica) -> Response:
    scopes = await pauses.scopes(here.database)
    providers = [name.removeprefix("provider:") for name in scopes if name != _ALL]
    return Response(Pauses(all=_ALL in scopes, providers=providers).model_dump_json(), media_type=JSON)
