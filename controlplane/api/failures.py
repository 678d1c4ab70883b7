"""Errors of the layers below, as problems. An unforeseen error is a 500 that does not reveal its cause."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from controlplane.api.access import note
from controlplane.api.problem import problem_response
from controlplane.api.request_id import log
from controlplane.errors import (
    InvalidConfig,
    InvalidTransition,
    ProviderNotEnabled,
    Refused,
    Unavailable,
    Unsupported,
)
from controlplane.persistence.discretion import sqlstate
from controlplane.persistence.outage import LATER, does_not_answer

VERSIONS = ("v1",)
MAX_ERRORS = 100
"""Wrong fields that one answer lists."""
_UNVERSIONED = ("healthz", "readyz", "metrics", "docs")


def install(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Answer these errors with problems. `routers`: they know which methods a path has."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]

    async def http(request: Request, error: Exception) -> Response:
        """Refusals by the framework itself."""
        assert isinstance(error, HTTPException)
        path = request.url.path
        if error.status_code == 404:
            return _unknown_path(path)
        if error.status_code == 405:
            methods = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
            methods = methods or {(error.headers or {}).get("Allow", "GET")}  # a route of the framework's own
            allowed = ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))
            if request.method == "OPTIONS":
                return Response(status_code=204, headers={"Allow": allowed})
            detail = f"{path} has {allowed}, not {request.method}"
            return problem_response("method_not_allowed", detail, headers={"Allow": allowed})
        log.warning("the framework answered %s: %s", error.status_code, error.detail)
        return problem_response("internal_error", "the request could not be answered")

    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    app.add_exception_handler(InvalidConfig, _invalid_config)
    app.add_exception_handler(Unsupported, _invalid_config)
    app.add_exception_handler(ProviderNotEnabled, _provider_not_enabled)
    app.add_exception_handler(InvalidTransition, _invalid_transition)
    app.add_exception_handler(Unavailable, _engine_unavailable)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(PoolTimeout, _overloaded)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(OSError, _unavailable)


async def answer(request: Request, error: Exception) -> Response:
    """As the framework would find it, by the handlers of the application. Raises the error if there is none."""
    handlers = request.app.exception_handlers
    handler = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
    if handler is None:
        raise error
    return cast(Response, await handler(request, error))


def validation_failed(detail: str, errors: Sequence[Mapping[str, str]]) -> Refused:
    """`errors`: [{loc, message}]."""
    return Refused(detail, code="validation_failed", status=400, errors=list(errors))


def invalid_body(error: ValidationError) -> Refused:
    """The errors of a model, without the values that were sent: they may be secret."""
    return validation_failed(
        "the body is not valid", field_errors(error.errors(include_url=False, include_input=False))
    )


def field_errors(errors: Sequence[Any], *, skip: int = 0) -> list[dict[str, str]]:
    """The first MAX_ERRORS of pydantic's errors as [{loc, message}]; `skip`: how many leading parts of each location to
    leave out."""
    return [
        {
            "loc": ".".join(str(part) for part in error["loc"][skip:]),
            "message": str(error["msg"]).removeprefix("Value error, "),
        }
        for error in errors[:MAX_ERRORS]
    ]


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if error.status in (401, 403, 429):
        note(request.scope, refused=error.code)
    known = error.fields
    return problem_response(
        error.code,
        error.message,
        errors=known.get("errors", ()),
        headers=known.get("headers"),
        members=known.get("members"),
    )


async def _invalid_parameters(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(
        "validation_failed", "a parameter is not valid", errors=field_errors(error.errors(), skip=1)
    )


async def _invalid_config(_: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidConfig | Unsupported)
    return problem_response("validation_failed", error.message, errors=error.errors)


async def _provider_not_enabled(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProviderNotEnabled)
    return problem_response("provider_not_enabled", error.message, members={"enabled": error.enabled})


async def _invalid_transition(_: Request, error: Exception) -> Response:
    return problem_response("invalid_transition", str(error))


def _unknown_path(path: str) -> Response:
    first = path.strip("/").split("/", 1)[0]
    if first in VERSIONS or first in _UNVERSIONED:
        return problem_response("not_found", "there is nothing at this path")
    supported = {"supported": list(VERSIONS)}
    if first[:1] == "v" and first[1:].isdigit():
        return problem_response(
            "unsupported_version", f"there is no version {first}; supported: {', '.join(VERSIONS)}", members=supported
        )
    return problem_response(
        "version_required", f"the path must begin with a version: /{VERSIONS[0]}/…", members=supported
    )


async def _engine_unavailable(_: Request, error: Exception) -> Response:
    return problem_response("unavailable", str(error), headers={"Retry-After": "2"})


async def _overloaded(_: Request, error: Exception) -> Response:
    log.warning("no database connection was free in time: %s", error)
    return problem_response("overloaded", "too many requests at once; try again", headers={"Retry-After": "1"})


async def _database(_: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)
    state = sqlstate(error)
    if state in LATER:
        log.warning("the database asks for another try (%s)", state)
        return problem_response(
            "overloaded", "too much at once on the same rows; try again", headers={"Retry-After": "1"}
        )
    if does_not_answer(error):
        log.error("the database does not do its part (%s)", state, exc_info=error)
        return problem_response("unavailable", "the database does not answer; try again", headers={"Retry-After": "2"})
    log.error("the database refused a statement (%s)", state, exc_info=error)
    return problem_response("internal_error", "the request could not be answered")


async def _unavailable(_: Request, error: Exception) -> Response:
    log.error("a connection failed", exc_info=error)
    return problem_response("unavailable", "the database does not answer; try again", headers={"Retry-After": "2"})
