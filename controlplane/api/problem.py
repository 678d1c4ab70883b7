"""RFC 9457 problems: every error leaves as one of these, and reveals no more than a client may know.

`CODES` is the whole list of codes with their status and title; the OpenAPI document is written from it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from controlplane.api import request_id
from controlplane.secrecy import hide

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:landlord:problem:"

CODES: Mapping[str, tuple[int, str]] = {
    "validation_failed": (400, "The request is not valid"),
    "unauthorized": (401, "A valid bearer token is needed"),
    "forbidden": (403, "The token may not do this"),
    "quota_exceeded": (403, "There are as many tenants as are allowed"),
    "not_found": (404, "There is no such resource"),
    "tenant_not_found": (404, "There is no such tenant"),
    "execution_not_found": (404, "There is no such execution"),
    "node_not_found": (404, "There is no such node"),
    "provider_not_found": (404, "There is no such provider here"),
    "token_not_found": (404, "There is no such token"),
    "version_required": (404, "The path needs an API version"),
    "unsupported_version": (404, "This API version does not exist"),
    "method_not_allowed": (405, "The resource does not have this method"),
    "request_timeout": (408, "The request did not arrive in time"),
    "tenant_exists": (409, "The name is taken"),
    "token_exists": (409, "The name is taken"),
    "node_unavailable": (409, "The node that the tenant wants cannot take it now"),
    "invalid_transition": (409, "The tenant is not in a state for this"),
    "idempotency_in_progress": (409, "A request with this key is still open"),
    "tenant_deleted": (410, "The tenant was deleted"),
    "events_expired": (410, "The events after this id are no longer kept"),
    "version_mismatch": (412, "The tenant has changed"),
    "payload_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be JSON"),
    "idempotency_key_reused": (422, "The key was used with another request"),
    "provider_not_enabled": (422, "The provider is not enabled here"),
    "logs_not_supported": (422, "The provider has no logs"),
    "exec_not_supported": (422, "The provider runs no commands"),
    "rate_limited": (429, "Too many requests"),
    "internal_error": (500, "Something unexpected went wrong"),
    "workflow_trigger_failed": (503, "The workflow engine did not take the execution"),
    "overloaded": (503, "Too much at once"),
    "unavailable": (503, "A part that is needed does not answer"),
    "not_ready": (503, "Not ready"),
}


class FieldError(BaseModel):
    """One wrong field: its place, dotted from the root of the body (or the parameter's name), and the reason."""

    loc: str
    message: str


class Problem(BaseModel):
    """The form of every error, as `application/problem+json`. Branch on `code`; `detail` is for a person."""

    type: str = Field(examples=["urn:landlord:problem:tenant_not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["tenant_not_found"])
    request_id: str = Field(description="Also in the header X-Request-ID and in the server's log.")
    errors: list[FieldError] | None = Field(default=None, description="Only for `validation_failed`.")


def examples() -> dict[str, dict[str, Any]]:
    """One example for each code, for the components of the OpenAPI document."""
    return {
        code: {
            "summary": title,
            "value": {
                "type": TYPE_PREFIX + code,
                "title": title,
                "status": status,
                "detail": f"{title}.",
                "code": code,
                "request_id": "5f0c1d2e3b4a49788796a5b4c3d2e1f0",
                **({"errors": [{"loc": "spec.heal", "message": "unknown"}]} if code == "validation_failed" else {}),
            },
        }
        for code, (status, title) in CODES.items()
    }


def problem_response(
    code: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """The answer for `code`. `members` are further members of the problem, `headers` further headers."""
    status, title = CODES[code]
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": hide(detail),
        "code": code,
        "request_id": request_id.current(),
    }
    if errors:
        body["errors"] = [{"loc": error["loc"], "message": hide(error["message"])} for error in errors]
    body.update(members or {})
    return Response(json.dumps(body), status, dict(headers or {}), MEDIA_TYPE)
