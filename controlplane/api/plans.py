"""The plan of a dry run: the difference between a tenant before and after, as lines for a person."""

from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.api.masking import marked, mask_at
from controlplane.api.schemas.plan import ChangeOut
from controlplane.api.spec_check import CONFIG
from controlplane.model import Tenant, TenantSpec
from controlplane.ports import ComputeProvider


def changes(before: Tenant | None, after: Tenant, compute: Mapping[str, ComputeProvider]) -> list[ChangeOut]:
    """The differences in labels, annotations and spec. The provider itself compares its config, defaults filled in."""
    found = [
        *_difference("labels", dict(before.labels) if before else {}, dict(after.labels)),
        *_difference("annotations", dict(before.annotations) if before else {}, dict(after.annotations)),
    ]
    old = _without_config(before.spec) if before else {}
    found += _difference("spec", old, _without_config(after.spec))
    same_provider = before is not None and before.spec.compute.provider == after.spec.compute.provider
    old_config = before.spec.compute.config if before is not None and same_provider else None
    provider = compute.get(after.spec.compute.provider)
    if provider is not None and old_config != after.spec.compute.config:
        found += [
            ChangeOut(path=f"{CONFIG}.{change.path}", before=change.before, after=change.after)
            for change in provider.diff(old_config, after.spec.compute.config)
        ]
    old_names = marked(old_config or {})
    names = marked(after.spec.compute.config)
    return [
        ChangeOut(
            path=line.path,
            before=mask_at(line.path, line.before, old_names),
            after=mask_at(line.path, line.after, names),
        )
        for line in found
    ]


def _without_config(spec: TenantSpec) -> dict[str, Any]:
    document = spec.canonical()
    document["compute"] = {name: value for name, value in document["compute"].items() if name != "config"}
    return document


def _difference(path: str, before: Any, after: Any) -> Iterator[ChangeOut]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from _difference(f"{path}.{name}", before.get(name), after.get(name))
    elif before != after:
        yield ChangeOut(path=path, before=before, after=after)
