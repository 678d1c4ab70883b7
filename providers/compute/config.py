"""A provider's config: read it with errors that name the field, and compare two of them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from controlplane.errors import InvalidConfig
from controlplane.ports import Change

Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], config: Mapping[str, Any]) -> Model:
    """The config as its model. Raises InvalidConfig whose `errors` name fields and never quote a value."""
    try:
        return model.model_validate(dict(config))
    except ValidationError as error:
        raise invalid(
            [
                {
                    "loc": ".".join(str(part) for part in item["loc"]),
                    "message": item["msg"].removeprefix("Value error, "),
                }
                for item in error.errors(include_url=False, include_input=False)
            ]
        ) from None


def invalid(errors: list[dict[str, str]]) -> InvalidConfig:
    """One error out of several: its message carries them all."""
    return InvalidConfig("; ".join(f"{item['loc']}: {item['message']}" for item in errors), errors=errors)


def difference(model: type[BaseModel], before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
    """The leaves that differ, by path, defaults filled in. Lists are one leaf. Values are shown as they are: a plan is
    for the client who sent them, not for logs. A `before` that this provider cannot read counts as nothing."""
    return _compare("", {} if before is None else _canonical(model, before), _canonical(model, after))


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
