"""Checks a spec against the providers of this installation. If a spec can never work, it is refused before anything is
stored."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from controlplane.api import masking
from controlplane.api.failures import field_errors, validation_failed
from controlplane.api.merge_patch import merge
from controlplane.api.replica import Replica
from controlplane.api.schemas.requests import TenantDocument
from controlplane.api.security import require_role
from controlplane.api.strict_json import refuse_excess
from controlplane.errors import InvalidConfig, Refused, Unsupported
from controlplane.model import BOUND, SENT, HealthSpec, Tenant, TenantSpec
from controlplane.persistence.tokens import Token
from controlplane.ports import ReachesHost

CONFIG = "spec.compute.config"
MAX_PART = 256 * 1024
"""Bytes of the JSON of a tenant's spec, and of its annotations, however many requests brought them."""
DEADLINES = 6
"""`health.deadline_seconds` may be so many times `LANDLORD_PROVISION_DEADLINE_SECONDS`, and its own default always."""
_DEFAULT_DEADLINE: float = HealthSpec.model_fields["deadline_seconds"].default


def check_spec(here: Replica, token: Token, spec: TenantSpec) -> None:
    """Raises ProviderNotEnabled (422), Refused validation_failed (400) and forbidden (403: `process` runs commands on
    this machine, so it takes `LANDLORD_PROCESS_ROLE`; what reaches the host takes an admin)."""
    provider = here.compute_provider(spec.compute.provider)
    if spec.workflow is not None:
        here.require_workflow(spec.workflow.provider)
    if spec.compute.provider == "process":
        require_role(token, here.settings.process_role, "a tenant on the process provider")
    _refuse_excess(provider.config_model, spec, here.settings.provision_deadline_seconds)
    try:
        provider.validate(spec.compute.config, spec.health)
    except (InvalidConfig, Unsupported) as error:
        raise _invalid(error) from None
    if spec.placement is not None and not provider.one_node:
        message = f"{provider.name} is on no node of the cluster; leave it out"
        raise validation_failed(f"spec.placement: {message}", [{"loc": "spec.placement", "message": message}])
    if isinstance(provider, ReachesHost) and (reaching := provider.host_access(spec.compute.config)):
        places = ", ".join(f"{CONFIG}.{place}" for place in reaching)
        require_role(token, "admin", f"access to the host ({places})")


def _refuse_excess(config_model: type[BaseModel], spec: TenantSpec, deadline: float) -> None:
    """Raises Refused for what is beyond a bound. Everything else that is wrong is left to the other checks."""
    found = [
        *_excess(TenantSpec, spec.canonical(), "spec"),
        *_excess(config_model, spec.compute.config, CONFIG),
    ]
    most = max(DEADLINES * deadline, _DEFAULT_DEADLINE)
    if spec.health.deadline_seconds > most:
        found.append({"loc": "spec.health.deadline_seconds", "message": f"must be {most:g} at most; lower it"})
    if found:
        raise validation_failed("; ".join(f"{one['loc']}: {one['message']}" for one in found[:3]), found)


def _excess(model: type[BaseModel], value: Any, root: str) -> list[dict[str, str]]:
    try:
        model.model_validate(value, context=SENT)
    except ValidationError as error:
        beyond = [one for one in error.errors(include_url=False, include_input=False) if one["type"] == BOUND]
        return [{**one, "loc": f"{root}.{one['loc']}"} for one in field_errors(beyond)]
    return []


def check_new_spec(here: Replica, token: Token, spec: TenantSpec) -> None:
    """The same check for a new tenant: stars stand for nothing there."""
    _, stars = masking.restore({"spec": spec.canonical()}, None)
    _refuse_stars(stars)
    check_spec(here, token, spec)


def merged(here: Replica, token: Token, tenant: Tenant, patch: Mapping[str, Any]) -> TenantDocument:
    """The tenant's document after a merge patch, with stars replaced by the stored values. If the spec changed, it is
    checked.

    What a newer release has stored in the spec is kept, unless the patch itself names it.

    Raises as `check_spec`, and validation_failed if the result is no valid document."""
    before = {
        "labels": dict(tenant.labels),
        "annotations": dict(tenant.annotations),
        "spec": tenant.spec.canonical(),
    }
    result = merge(before, patch)
    _refuse_growth(before, result)
    result, stars = masking.restore(result, before)
    _refuse_stars(stars)
    if not patch.get("spec"):
        result["spec"] = tenant.spec
    try:
        document = TenantDocument.model_validate(result)
    except ValidationError as error:
        document = _with_kept_fields(error, result, tenant.spec)
    if document.spec.hash != tenant.spec.hash:
        _check_changed(here, token, tenant.spec, document.spec, patch)
    return document


def _with_kept_fields(error: ValidationError, result: dict[str, Any], stored: TenantSpec) -> TenantDocument:
    """The document, if it is refused for nothing but unknown fields that the stored spec has as well: a newer release
    wrote those. Raises validation_failed."""
    found = error.errors(include_url=False, include_input=False)
    refused = [one for one in found if one["type"] != "extra_forbidden" or not _keeps(one["loc"], result, stored)]
    if refused:
        raise validation_failed("the body is not valid", field_errors(refused))
    spec = TenantSpec.stored(result["spec"])
    if spec.unreadable:
        message = "only a newer release can read what is stored here"
        raise validation_failed(message, [{"loc": f"spec.{name}", "message": message} for name in spec.unreadable])
    return TenantDocument.model_validate({**result, "spec": spec})


def _keeps(loc: Sequence[Any], result: Any, stored: TenantSpec) -> bool:
    """The result has the same value at that place as the stored spec."""
    kept: Any = {"spec": stored.more}
    for part in loc:
        if not isinstance(kept, Mapping) or part not in kept:
            return False
        kept, result = kept[part], result[part]
    return bool(kept == result)


def _check_changed(
    here: Replica, token: Token, before: TenantSpec, after: TenantSpec, patch: Mapping[str, Any]
) -> None:
    try:
        check_spec(here, token, after)
    except Refused as error:
        if error.code == "validation_failed" and before.compute.provider != after.compute.provider:
            raise _with_leftover_keys(here, error, after, patch) from None
        raise


def _with_leftover_keys(here: Replica, error: Refused, after: TenantSpec, patch: Mapping[str, Any]) -> Refused:
    """A change of provider by merge patch keeps the old provider's keys: name the keys to null."""
    sent = patch["spec"]["compute"].get("config") or {}
    fields = here.compute_provider(after.compute.provider).config_model.model_fields
    known = {name for key, field in fields.items() for name in (key, field.alias) if name}
    leftover = sorted(key for key in after.compute.config if key not in sent and key not in known)
    if not leftover:
        return error
    names = ", ".join(leftover)
    return validation_failed(
        f"the config still has keys of the previous provider, which {after.compute.provider!r} does not know; "
        f"set these to null in the patch: {names}",
        [{"loc": f"{CONFIG}.{key}", "message": "set it to null"} for key in leftover],
    )


def _refuse_growth(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Many patches together add no more to a part than one body may hold. A part that is larger from before may stay
    so, and may shrink."""
    for name, part in after.items():
        size, was = _bytes(part), _bytes(before.get(name))
        if size <= was:
            continue
        refuse_excess({name: part})
        if size > MAX_PART:
            message = f"would have {size} bytes, of which {MAX_PART} are allowed; shorten something in it"
            raise validation_failed(f"{name} {message}", [{"loc": name, "message": message}])


def _bytes(document: Any) -> int:
    return len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())


def _invalid(error: InvalidConfig | Unsupported) -> Refused:
    errors = [{"loc": _located(found["loc"]), "message": found["message"]} for found in error.errors]
    return validation_failed(error.message, errors or [{"loc": CONFIG, "message": error.message}])


def _located(loc: str) -> str:
    """Providers give locations from the root of their config, or name a field of `health`."""
    if loc == "health" or loc.startswith("health."):
        return f"spec.{loc}"
    return f"{CONFIG}.{loc}" if loc else CONFIG


def _refuse_stars(paths: list[str]) -> None:
    if paths:
        message = "nothing is stored that is shown so under this name, or it would be shown from now on; send the value"
        raise validation_failed(
            "a masked value stands for no stored value",
            [{"loc": path, "message": message} for path in paths],
        )
