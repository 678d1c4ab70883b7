"""The OpenAPI 3.1 document: FastAPI's, with our bodies, problems and roles added and its own error model removed."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from controlplane.api.openapi_parts import ALLOWANCE, BODIES, HEADERS, named
from controlplane.api.parameters import dependants
from controlplane.api.problem import Problem, examples
from controlplane.api.schemas.execution import ExecutionOut
from controlplane.api.schemas.tenant import TenantOut
from controlplane.api.security import Requires


def document(app: FastAPI, routers: Iterable[APIRouter]) -> dict[str, Any]:
    """Made once per application."""
    if app.openapi_schema:
        return app.openapi_schema
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        openapi_version="3.1.0",
        tags=app.openapi_tags,
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    # Add the answers again: FastAPI drops the nulls of their examples.
    models: list[type[BaseModel]] = [Problem, TenantOut, ExecutionOut, *BODIES.values()]
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for schema in schemas.values():
        for member in schema.get("properties", {}).values():
            _simplify_default(member)
    made["components"]["schemas"] = dict(sorted(schemas.items()))
    made["components"]["examples"] = examples()
    made["components"]["headers"] = HEADERS
    roles = dict(_roles(routers))
    for operations in made["paths"].values():
        for operation in operations.values():
            if (role := roles.get(operation["operationId"])) is not None:
                operation["x-required-role"] = role
            _dress(operation["responses"], counted="security" in operation)
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _sent(parameter["schema"])
    app.openapi_schema = made
    return made


def _dress(responses: dict[str, Any], *, counted: bool) -> None:
    """`counted`: requests of a token have a limit, if one is set. A caller without a token (401) sees no limit."""
    unprocessable = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if str(unprocessable.get("$ref", "")).endswith("HTTPValidationError"):
        del responses["422"]
    for status, response in responses.items():
        headers = response.setdefault("headers", {})
        headers.update(named("X-Request-ID", *(ALLOWANCE if counted and status != "401" else ())))


def _simplify_default(schema: dict[str, Any]) -> None:
    """A default object without its nulls, which say nothing. From a null, openapi-generator makes a number in Java that
    cannot be read."""
    if isinstance(given := schema.get("default"), dict):
        schema["default"] = {name: value for name, value in given.items() if value is not None}


def _sent(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter: it may be left out, but a value that is sent is never null."""
    match schema.pop("anyOf", []):
        case [one, {"type": "null"}]:
            return {**one, **schema}
        case []:
            return schema
        case others:
            return {**schema, "anyOf": others}


def _roles(routers: Iterable[APIRouter]) -> Iterator[tuple[str, str]]:
    """The role of each operation, read from its dependencies, so that no route can be documented wrongly."""
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, APIRoute):
            for dependency in dependants(route.dependant):
                if isinstance(dependency.call, Requires):
                    yield route.operation_id or route.unique_id, dependency.call.role
