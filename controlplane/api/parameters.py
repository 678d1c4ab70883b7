"""The query parameters of a route: one that it does not have is refused, as an unknown member of a body is.

A filter with a typing error would otherwise answer with everything."""

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from controlplane.api.failures import validation_failed

_SHOWN = 64
"""Characters of a strange name that the answer repeats."""


def refuse_unknown_parameters(request: Request) -> None:
    """Raises Refused validation_failed (400), with the parameters that the route has."""
    if not request.scope["query_string"]:
        return
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = _names(route)
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        has = f"this request has {', '.join(sorted(known))}" if known else "this request has none"
        message = f"is not a parameter here; {has}"
        raise validation_failed(
            f"{unknown[0][:_SHOWN]!r} {message}", [{"loc": name[:_SHOWN], "message": message} for name in unknown[:10]]
        )


def _names(route: APIRoute) -> frozenset[str]:
    return frozenset(parameter.alias for one in dependants(route.dependant) for parameter in one.query_params)


def dependants(dependant: Dependant) -> Iterator[Dependant]:
    """The dependant of a route, and all that it depends on."""
    yield dependant
    for dependency in dependant.dependencies:
        yield from dependants(dependency)
