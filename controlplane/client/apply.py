"""A tenant as a file says it should be: the smallest change from what it is, and the tenants that no file names."""

from collections.abc import Collection, Mapping
from typing import Any

from landlord_client import Tenant

WRITABLE = ("spec", "labels", "annotations")


def wanted(document: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a document that a client may set. A tenant as the API gives it can be applied again as it is."""
    shown = {"id", "version"} <= document.keys()
    kept = {"name", *WRITABLE}
    return {key: value for key, value in document.items() if key in kept or not shown}


def patch_to(tenant: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Merge Patch after which the tenant is as `document` says. What the document leaves out of a part that it
    has is removed, so that a default comes back; a part that it does not have stays. Empty: nothing is to change."""
    patch: dict[str, Any] = {}
    for part, value in document.items():
        if part == "name":
            continue
        changed = _merge(tenant.get(part), value)
        if changed is not _SAME:
            patch[part] = changed
    return patch


def surplus(there: Collection[Tenant], documents: Collection[Mapping[str, Any]]) -> list[Tenant]:
    """The tenants that no document names, and that are not being deleted."""
    names = {document["name"] for document in documents}
    return [tenant for tenant in there if tenant.name not in names and tenant.status != "deleting"]


_SAME = object()


def _merge(before: Any, after: Any) -> Any:
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return _SAME if type(before) is type(after) and before == after else after
    patch = {key: None for key in before if key not in after and before[key] is not None}
    for key, value in after.items():
        changed = _merge(before.get(key), value)
        if changed is not _SAME:
            patch[key] = changed
    return patch or _SAME
