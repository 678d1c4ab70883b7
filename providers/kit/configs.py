"""A provider's config: read it with errors that name the field, and compare two of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError

from controlplane.errors import InvalidConfig, Unsupported
from controlplane.model import HealthSpec, Strict
from controlplane.ports import Change

Model = TypeVar("Model", bound=BaseModel)
Problems = Sequence[dict[str, str]]
"""The problems of a spec, as the `errors` of InvalidConfig and Unsupported."""


class ProviderConfig(Strict):
    """Base of a provider's `config_model`. Its fields are the client's choices, and these methods give their
    meaning."""

    def problems(self, health: HealthSpec) -> Problems:
        """Parts of this config, with this probe, that can never work on any machine."""
        return ()

    def unsupported(self, health: HealthSpec) -> Problems:
        """Parts that the provider cannot do, except `health.exec`: RunsExecProbes decides that."""
        return ()

    def excludes(self, other: Self) -> bool:
        """Whether resources of the two cannot run side by side."""
        return False


def parse(model: type[Model], config: Mapping[str, Any]) -> Model:
    """The config as its model. Raises InvalidConfig whose `errors` name fields and never quote a value."""
    try:
        return model.model_validate(dict(config))
    except ValidationError as error:
        problems = [
            {"loc": ".".join(str(part) for part in item["loc"]), "message": item["msg"].removeprefix("Value error, ")}
            for item in error.errors(include_url=False, include_input=False)
        ]
    raise _refusal(InvalidConfig, problems)


def refuse(problems: Problems, unsupported: Problems = ()) -> None:
    """Raises InvalidConfig, or Unsupported if nothing else is wrong; `errors` and the message carry both kinds.

    `problems`: can never work; `unsupported`: this provider cannot do it."""
    errors = [*problems, *unsupported]
    if errors:
        raise _refusal(InvalidConfig if problems else Unsupported, errors)


def exec_probe_refused(health: HealthSpec) -> Problems:
    """`health.exec` as `unsupported`, for a provider without RunsExecProbes."""
    if health.exec is None:
        return []
    return [{"loc": "health.exec", "message": "this provider cannot run a health command; leave it out"}]


def difference(model: type[BaseModel], before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
    """The differing leaves by path, defaults filled in. A list is one leaf. Values are shown unchanged: a plan is for
    the client who sent them, not for logs. A `before` that this provider cannot read counts as empty."""
    return _compare("", {} if before is None else _canonical(model, before), _canonical(model, after))


def _refusal(kind: type[InvalidConfig | Unsupported], errors: Problems) -> InvalidConfig | Unsupported:
    return kind("; ".join(f"{item['loc']}: {item['message']}" for item in errors), errors=errors)


def _canonical(model: type[BaseModel], config: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return model.model_validate(dict(config)).model_dump(mode="json")
    except ValidationError:
        return config


def _compare(path: str, before: Any, after: Any) -> list[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return [
            change
            for key in sorted({*before, *after})
            for change in _compare(f"{path}.{key}" if path else str(key), before.get(key), after.get(key))
        ]
    if before is None and isinstance(after, Mapping):
        return _compare(path, {}, after)
    if after is None and isinstance(before, Mapping):
        return _compare(path, before, {})
    return [] if before == after else [Change(path, before, after)]
