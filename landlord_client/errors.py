"""Every error of the client, as one tree.

LandlordClientError
├── InsecureAddress         the token would cross a network in clear
├── Unreachable             nobody answers, or whoever does is no control plane
├── WaitedTooLong           a wait used up its time; also a TimeoutError
└── Problem                 the API refused; carries `code`, `status`, `detail`, `errors`, `request_id`, `retry_after`
    ├── ValidationFailed, Unauthorized, NotFound, Conflict, Gone …
    └── one class for each problem code of the API: see `BY_CODE`

A code that this release of the client does not know is raised as the class of its status, or else as Problem. All of
them survive pickle.
"""

from collections.abc import Mapping
from typing import Any


class LandlordClientError(Exception):
    """Base of every error of this client. `message` is one line for a person."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InsecureAddress(LandlordClientError, ValueError):
    """The address is neither https nor on this machine."""


class Unreachable(LandlordClientError):
    """No control plane answers at the URL."""


class ConnectionLost(Unreachable):
    """The connection broke after it was made. The request may have acted."""


class WaitedTooLong(LandlordClientError, TimeoutError):
    """What was waited for did not come in time. It may still come."""


class Problem(LandlordClientError):
    """The API refused the request.

    >>> from landlord_client import TenantNotFound
    >>> try:
    ...     client.get_tenant("nobody")
    ... except TenantNotFound as problem:
    ...     print(problem.status, problem.code)
    404 tenant_not_found
    """

    code: str
    """Branch on the class or on this; `detail` is for a person."""
    status: int
    """The HTTP status."""
    detail: str
    request_id: str | None
    """Also in the server's log."""
    errors: list[dict[str, str]]
    """The wrong fields of `validation_failed`: `loc` and `message` of each."""
    retry_after: float | None
    """Seconds after which the server expects the request again."""
    document: dict[str, Any]
    """The whole problem, as it came."""

    def __init__(self, message: str, document: Mapping[str, Any], status: int, retry_after: float | None) -> None:
        super().__init__(message)
        self.document = dict(document)
        self.status = status
        self.retry_after = retry_after
        self.code = str(document.get("code", "unknown"))
        self.detail = str(document.get("detail") or document.get("title") or f"HTTP {status}")
        found = document.get("request_id")
        self.request_id = None if found is None else str(found)
        self.errors = list(document.get("errors") or [])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.document, self.status, self.retry_after)

    def saying(self, message: str) -> "Problem":
        """The same problem with another message, for a caller that knows more."""
        return type(self)(message, self.document, self.status, self.retry_after)


def problem_of(document: Any, status: int, retry_after: float | None) -> Problem:
    """The error of an answer that is no success."""
    given = document if isinstance(document, Mapping) else {}
    kind = BY_CODE.get(str(given.get("code"))) or BY_STATUS.get(status, Problem)
    message = str(given.get("detail") or given.get("title") or f"HTTP {status}")
    return kind(message, given, status, retry_after)


# --- by status ---


class BadRequest(Problem):
    """400."""


class Unauthorized(Problem):
    """401: a valid token is needed."""


class Forbidden(Problem):
    """403: the token may not do this."""


class NotFound(Problem):
    """404."""


class Conflict(Problem):
    """409."""


class Gone(Problem):
    """410."""


class Unprocessable(Problem):
    """422."""


class TooManyRequests(Problem):
    """429."""


class ServerFailed(Problem):
    """500."""


class NotNow(Problem):
    """503: later, the same request may succeed."""


# --- by code ---


class ValidationFailed(BadRequest):
    """The request is not valid: `errors` names the fields."""


class QuotaExceeded(Forbidden):
    """There are as many tenants as are allowed."""


class TenantNotFound(NotFound):
    """There is no such tenant, or the token does not reach it."""


class ExecutionNotFound(NotFound):
    """There is no such execution."""


class NodeNotFound(NotFound):
    """There is no such node."""


class ProviderNotFound(NotFound):
    """There is no such provider."""


class TokenNotFound(NotFound):
    """There is no such token."""


class VersionRequired(NotFound):
    """The path needs an API version: the URL is wrong."""


class UnsupportedVersion(NotFound):
    """The server does not have this API version."""


class MethodNotAllowed(Problem):
    """The server does not know this call: it is older than the client."""


class RequestTimeout(Problem):
    """The request did not arrive in time."""


class TenantExists(Conflict):
    """The name is taken."""


class TokenExists(Conflict):
    """The name is taken."""


class NodeUnavailable(Conflict):
    """The node that the tenant wants cannot take it now."""


class InvalidTransition(Conflict):
    """The tenant is not in a state for this."""


class IdempotencyInProgress(Conflict):
    """Another request with the same key is still open."""


class TenantDeleted(Gone):
    """The tenant was deleted. By its UUID it can still be read."""


class EventsExpired(Gone):
    """The events after this id are no longer kept: read the tenants, then watch from now."""


class VersionMismatch(Problem):
    """The tenant has changed since `if_match`: read it again."""


class PayloadTooLarge(Problem):
    """The body is too large."""


class UnsupportedMediaType(Problem):
    """The body must be JSON."""


class IdempotencyKeyReused(Unprocessable):
    """The key was used with another request."""


class ProviderNotEnabled(Unprocessable):
    """The provider is not enabled in this installation."""


class LogsNotSupported(Unprocessable):
    """The provider has no logs."""


class ExecNotSupported(Unprocessable):
    """The provider runs no commands."""


class RateLimited(TooManyRequests):
    """Too many requests of this token."""


class InternalError(ServerFailed):
    """Something unexpected went wrong: `request_id` finds it in the server's log."""


class WorkflowTriggerFailed(NotNow):
    """The workflow engine did not take the execution. The tenant is kept, and the control plane goes on trying."""


class Overloaded(NotNow):
    """Too much at once."""


class Unavailable(NotNow):
    """A part of the control plane that is needed does not answer."""


class NotReady(NotNow):
    """The control plane starts, or has lost a part."""


BY_STATUS: Mapping[int, type[Problem]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Unprocessable,
    429: TooManyRequests,
    500: ServerFailed,
    503: NotNow,
}

BY_CODE: Mapping[str, type[Problem]] = {
    "validation_failed": ValidationFailed,
    "unauthorized": Unauthorized,
    "forbidden": Forbidden,
    "quota_exceeded": QuotaExceeded,
    "not_found": NotFound,
    "tenant_not_found": TenantNotFound,
    "execution_not_found": ExecutionNotFound,
    "node_not_found": NodeNotFound,
    "provider_not_found": ProviderNotFound,
    "token_not_found": TokenNotFound,
    "version_required": VersionRequired,
    "unsupported_version": UnsupportedVersion,
    "method_not_allowed": MethodNotAllowed,
    "request_timeout": RequestTimeout,
    "tenant_exists": TenantExists,
    "token_exists": TokenExists,
    "node_unavailable": NodeUnavailable,
    "invalid_transition": InvalidTransition,
    "idempotency_in_progress": IdempotencyInProgress,
    "tenant_deleted": TenantDeleted,
    "events_expired": EventsExpired,
    "version_mismatch": VersionMismatch,
    "payload_too_large": PayloadTooLarge,
    "unsupported_media_type": UnsupportedMediaType,
    "idempotency_key_reused": IdempotencyKeyReused,
    "provider_not_enabled": ProviderNotEnabled,
    "logs_not_supported": LogsNotSupported,
    "exec_not_supported": ExecNotSupported,
    "rate_limited": RateLimited,
    "internal_error": InternalError,
    "workflow_trigger_failed": WorkflowTriggerFailed,
    "overloaded": Overloaded,
    "unavailable": Unavailable,
    "not_ready": NotReady,
}
"""Every problem code of the API."""
