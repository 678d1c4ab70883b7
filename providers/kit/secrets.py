"""References to secrets, `{"secret": "env:NAME"}` or `{"secret": "file:PATH"}`, in the place of a variable's value.

Rows, events, plans and answers hold the reference. Only a provider that makes a resource replaces it by the value. A
reference reaches variables `LANDLORD_SECRET_…` of the control plane and files under `$LANDLORD_HOME/secrets`, and
nothing else: a tenant's config must not be a way to read the admin token or our own settings.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PlainValidator, StringConstraints, ValidationError

from controlplane.errors import InvalidConfig, NotAvailableYet, WaitsFor
from controlplane.model import Strict
from controlplane.settings import Settings

logger = logging.getLogger(__name__)

PREFIX = "LANDLORD_SECRET_"
LONGEST = 64 * 1024
"""Bytes of a secret's file."""
PLACEHOLDER = "secret"

Reference = Annotated[str, StringConstraints(pattern=rf"^(env:{PREFIX}[A-Za-z0-9_]+|file:[^\x00]{{1,500}})$")]


class SecretReference(Strict):
    """The place of the value: `env:LANDLORD_SECRET_…`, a variable of the control plane, or `file:…`, a path under
    `$LANDLORD_HOME/secrets`."""

    secret: Reference = Field(description="`env:LANDLORD_SECRET_…`, or `file:` and a path under $LANDLORD_HOME/secrets")


Word = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


def _variable(value: Any) -> str | SecretReference:
    if isinstance(value, str) and "\x00" not in value:
        return value
    try:
        return SecretReference.model_validate(value)
    except ValidationError:
        raise ValueError(f'must be text, or {{"secret": "env:{PREFIX}…" or "file:…"}}') from None


Variable = Annotated[Any, PlainValidator(_variable, json_schema_input_type=Word | SecretReference)]
"""A `str`, the value of a variable, or a SecretReference. If it is neither, there is one error, not one for each."""


class Secrets:
    """The values of references, read at each use. If a value changes, the next resource gets the new one."""

    def __init__(self, directory: Path, environ: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._environ = os.environ if environ is None else environ

    @classmethod
    def build(cls, settings: Settings) -> Self:
        return cls(settings.home / "secrets")

    def resolve(self, config: Any) -> Any:
        """A copy of a config, or of a part of it, with each reference replaced by its value. Raises as `value` does."""
        if is_reference(config):
            return self.value(config["secret"])
        if isinstance(config, Mapping):
            return {name: self.resolve(item) for name, item in config.items()}
        if isinstance(config, list | tuple):
            return [self.resolve(item) for item in config]
        return config

    def value(self, reference: str) -> str:
        """The value of a reference. Raises InvalidConfig if it leads to a forbidden place, NotAvailableYet if there is
        no value (yet)."""
        logger.info("a secret is read", extra={"reference": reference})
        kind, _, name = reference.partition(":")
        if kind == "env" and name.startswith(PREFIX):
            if name in self._environ:
                return self._environ[name]
            raise NotAvailableYet(
                f"the secret {reference} is not set where the control plane runs", waits_for=WaitsFor.SECRET_MISSING
            )
        if kind == "file":
            return self._read(reference, name)
        raise InvalidConfig(f"the secret {reference} is neither env:{PREFIX}… nor file:…")

    def known(self, variables: Iterable[Any]) -> list[str]:
        """The known values of an environment, for code that must not show them."""
        values = []
        for variable in variables:
            try:
                values.append(str(self.resolve(variable)))
            except (InvalidConfig, NotAvailableYet):
                continue
        return values

    def _read(self, reference: str, name: str) -> str:
        root = self._directory.resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise InvalidConfig(f"the secret {reference} leads out of the directory of secrets")
        try:
            with path.open("rb") as file:
                content = file.read(LONGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise NotAvailableYet(
                f"there is no file for the secret {reference}", waits_for=WaitsFor.SECRET_MISSING
            ) from None
        except OSError as error:
            raise NotAvailableYet(
                f"the secret {reference} cannot be read: {error.strerror}", waits_for=WaitsFor.SECRET_MISSING
            ) from None
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise InvalidConfig(f"the secret {reference} is not text") from None
        if len(content) > LONGEST or "\x00" in text:
            raise InvalidConfig(f"the secret {reference} is no value for a variable: too long, or with a NUL in it")
        return text.removesuffix("\n").removesuffix("\r")


def is_reference(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"secret"} and isinstance(value["secret"], str)


def revealed(config: Any, resolved: Any) -> Iterator[str]:
    """The values that `resolve` has put into its copy, at any place, for code that must not show them."""
    if is_reference(config):
        yield resolved
    elif isinstance(config, Mapping):
        for name, item in config.items():
            yield from revealed(item, resolved[name])
    elif isinstance(config, list | tuple):
        for item, value in zip(config, resolved, strict=True):
            yield from revealed(item, value)


def placeheld(config: Any) -> Any:
    """A copy with a placeholder for each reference, for code that checks shapes."""
    if config is None or isinstance(config, str | int | float):
        return config  # nearly all of a large config
    if is_reference(config):
        SecretReference.model_validate(dict(config))
        return PLACEHOLDER
    if isinstance(config, Mapping):
        return {name: placeheld(item) for name, item in config.items()}
    if isinstance(config, list | tuple):
        return [placeheld(item) for item in config]
    return config
