"""What to do after a refusal: a line for each problem code, below the error. docs/runbooks.md says it at length."""

from collections.abc import Mapping

from landlord_client import Problem, Tenant, WaitedTooLong

_CLIENT = "whoever wrote the client corrects its request; /docs at the API's address describes each"
_AGAIN = "ask again in some seconds; `landlord status` shows what is away"
_NAMES = "`landlord tenant list` shows the names that this token reaches"

NEXT: Mapping[str, str] = {
    "validation_failed": "correct what is named; `landlord providers --schema NAME` shows what a config may have",
    "unauthorized": "give a token that is valid: in LANDLORD_TOKEN, or with `landlord context add`",
    "forbidden": "use a token that may, or have an admin make one: `landlord token create`",
    "quota_exceeded": "delete tenants that nobody needs, or have the operator raise the setting that is named",
    "not_found": _CLIENT,
    "tenant_not_found": _NAMES,
    "execution_not_found": "`landlord execution list NAME` shows a tenant's executions",
    "node_not_found": "`landlord node list` shows their names",
    "provider_not_found": "`landlord providers` shows those that are enabled",
    "token_not_found": "`landlord token list` shows their names",
    "version_required": _CLIENT,
    "unsupported_version": _CLIENT,
    "method_not_allowed": _CLIENT,
    "request_timeout": "send it again",
    "tenant_exists": "take another name, or see what has it: `landlord tenant get NAME`",
    "token_exists": "take another name, or free this one: `landlord token revoke NAME`",
    "node_unavailable": "start that machine or name another; `landlord node list` shows them",
    "invalid_transition": "`landlord tenant get NAME` shows where it is, `landlord tenant wait NAME` waits",
    "idempotency_in_progress": "ask again in some seconds, with the same key: that gives the first one's answer",
    "tenant_deleted": "`landlord events NAME` shows what happened; the name is free to be used again",
    "events_expired": "look at what is now: `landlord tenant list`; then watch again",
    "version_mismatch": "read it again, `landlord tenant get NAME -o yaml`, and send the version that it has now",
    "payload_too_large": "send less: large values belong into secrets or images",
    "unsupported_media_type": _CLIENT,
    "idempotency_key_reused": "send another key, or none: the command makes one by itself",
    "provider_not_enabled": "`landlord providers` shows those that are; LANDLORD_COMPUTE_PROVIDERS enables others",
    "logs_not_supported": "read them where the platform keeps them; `landlord providers` shows which have `logs`",
    "exec_not_supported": "`landlord providers` shows which have `exec`",
    "rate_limited": "ask again later; the operator sees in api.log who asks so much",
    "internal_error": "ask again: nothing is stored by half; report it, with a `landlord support-bundle`",
    "workflow_trigger_failed": "nothing: it is stored and tried again; `landlord tenant watch NAME` shows it",
    "overloaded": _AGAIN,
    "unavailable": _AGAIN,
    "not_ready": _AGAIN,
}
"""For each code of the API, and where a name is meant, NAME."""


def next_step(error: Exception) -> str | None:
    """None: the error says it itself, or it is of a newer server."""
    match error:
        case Problem():
            return NEXT.get(error.code)
        case WaitedTooLong():
            return "it goes on; `landlord tenant wait NAME` waits for it again"
    return None


def after_failure(tenant: Tenant) -> str:
    """For a tenant that ended badly."""
    name = tenant.name
    return f"`landlord execution list {name}` shows what was tried, `landlord tenant logs {name}` what it wrote"
