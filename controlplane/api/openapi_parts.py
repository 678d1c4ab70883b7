"""The parts of the OpenAPI document that routes supply: their answers, every problem by its code, and their bodies."""

from collections import defaultdict
from typing import Any

from pydantic import BaseModel

from controlplane.api.problem import CODES, MEDIA_TYPE
from controlplane.api.schemas.event import WatchEvent
from controlplane.api.schemas.plan import PlanOut

PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}

_ANYWHERE = ("validation_failed", "unauthorized", "rate_limited", "internal_error", "overloaded", "unavailable")
_MUTATION = (
    "forbidden",
    "version_mismatch",
    "idempotency_in_progress",
    "idempotency_key_reused",
    "workflow_trigger_failed",
)
_BODY = ("request_timeout", "payload_too_large", "unsupported_media_type")

HEADERS: dict[str, dict[str, Any]] = {
    "ETag": {"description": "The tenant's version, for If-Match.", "schema": {"type": "string"}},
    "Location": {"description": "Path of the created or changed resource.", "schema": {"type": "string"}},
    "Preference-Applied": {"description": "`wait=N`: the server applied the preference.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}},
    "Idempotency-Replayed": {
        "description": "`true`: an earlier answer, repeated.",
        "schema": {"type": "string"},
    },
    "Log-Cursor": {
        "description": "`after` of the next request for what was written since.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}},
    "X-Request-ID": {
        "description": "The request's id, also in problems and in the log.",
        "schema": {"type": "string"},
    },
    "RateLimit-Limit": {"description": "Requests allowed at once, if a limit is set.", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "Requests allowed now.", "schema": {"type": "integer"}},
    "RateLimit-Reset": {
        "description": "Seconds until the next request is allowed; 0 if one is allowed now.",
        "schema": {"type": "integer"},
    },
}
"""Examples for the components of the document."""
ALLOWANCE = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")

_SERVER_SENT_EVENT: dict[str, Any] = {
    "description": "One event of the stream.",
    "type": "object",
    "required": ["id", "data"],
    "properties": {
        "id": {"type": "string", "description": "For Last-Event-ID."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/WatchEvent"},
        },
    },
}

_PROBLEM_HEADERS: dict[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    412: ("ETag",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}

BODIES: dict[str, type[BaseModel]] = {}
"""Models of bodies that routes read themselves, for the components of the document."""


def answers(
    model: type[BaseModel] | None,
    *codes: str,
    status: int = 202,
    mutation: bool = False,
    body: bool = False,
    public: bool = False,
) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: its own codes, and those that every route of its kind has."""
    listed: dict[int, list[str]] = defaultdict(list)
    every = {*codes, *(() if public else _ANYWHERE), *(_MUTATION if mutation else ()), *(_BODY if body else ())}
    for code in CODES:
        if code in every:
            listed[CODES[code][0]].append(code)
    found: dict[int | str, dict[str, Any]] = {
        number: {
            "description": " or ".join(f"`{name}`: {CODES[name][1].lower()}" for name in names),
            "content": {
                MEDIA_TYPE: {
                    "schema": PROBLEM_REF,
                    "examples": {name: {"$ref": f"#/components/examples/{name}"} for name in names},
                }
            },
            **({"headers": named(*_PROBLEM_HEADERS[number])} if number in _PROBLEM_HEADERS else {}),
        }
        for number, names in listed.items()
    }
    if mutation and model is not None:
        described = "The execution has ended (`Prefer: wait`), nothing had to change, or the plan (`dry_run`)."
        found[200] = {
            "model": model | PlanOut,
            "description": described,
            "headers": named("ETag", "Location", "Idempotency-Replayed", "Preference-Applied"),
        }
        found[202] = {
            "description": "Stored; it will be carried out.",
            "headers": named("ETag", "Location", "Idempotency-Replayed"),
        }
    elif status == 201:
        found[201] = {"description": "Made.", "headers": named("Location")}
    elif status == 200 and model is not None and "version" in model.model_fields:
        found[200] = {"description": "As it is now.", "headers": named("ETag")}
    return found


def stream(*codes: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that answers with Server-Sent Events."""
    BODIES[WatchEvent.__name__] = WatchEvent
    found = answers(None, *codes, status=200)
    found[200] = {
        "description": "Each event: `id`, and `data` as one line of JSON (WatchEvent). Comments keep it alive.",
        "content": {"text/event-stream": {"schema": _SERVER_SENT_EVENT}},
    }
    return found


def body_of(model: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself."""
    BODIES[model.__name__] = model
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    content = {media_type: {"schema": schema} for media_type in media_types or ("application/json",)}
    return {"requestBody": {"required": True, "content": content}}


def named(*names: str) -> dict[str, Any]:
    """`headers` of an answer."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
