"""References to secrets, `{"secret": "env:NAME"}` or `{"secret": "file:PATH"}`, in the place of a variable's value.

Rows, events, plans and answers hold the reference. Only a provider that makes a resource replaces it by the value. A
reference reaches variables `LANDLORD_SECRET_…` of the control plane and files under `$LANDLORD_HOME/secrets` that are
the tenant's own or for all, and nothing else: a tenant's config must not be a way to read the admin token, our own
settings, or what is another tenant's.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainValidator, StringConstraints, ValidationError

from controlplane.errors import InvalidConfig, NotAvailableYet, WaitsFor
from controlplane.model import Strict
from controlplane.settings import Settings

logger = logging.getLogger(__name__)

PREFIX = "LANDLORD_SECRET_"
SHARED = "shared"
"""The directory of the secrets that are for all tenants."""
LONGEST = 64 * 1024
"""Bytes of a secret's file."""
PLACEHOLDER = "secret"

Reference = Annotated[str, StringConstraints(pattern=rf"^(env:{PREFIX}[A-Za-z0-9_]+|file:[^\x00]{{1,500}})$")]


class SecretReference(Strict):
    """The place of the value: `env:LANDLORD_SECRET_…`, a variable of the control plane, or `file:…`, a path under
    `$LANDLORD_HOME/secrets/<tenant>`, then `…/shared`."""

    secret: Reference = Field(
        description="`env:LANDLORD_SECRET_<TENANT>__…` (or without `__`, for all tenants), or `file:` and a path under "
        "$LANDLORD_HOME/secrets/<tenant>, then …/shared"
    )


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


def _secret_text(value: Any) -> SecretReference:
    try:
        return SecretReference.model_validate({"secret": value} if isinstance(value, str) else value)
    except ValidationError:
        raise ValueError(
            f'must be a reference to a secret, {{"secret": "file:…"}} or {{"secret": "env:{PREFIX}…"}}; write the '
            "secret itself into that file or variable"
        ) from None


SecretText = Annotated[
    SecretReference, BeforeValidator(_secret_text, json_schema_input_type=SecretReference | Reference)
]
"""A secret that a config may only refer to. A text is taken for the reference itself."""

SecretNames = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=256)]],
    Field(max_length=256, description="names in `env` whose values are stars wherever they are shown"),
]
"""`secret_env` of a config: names beside those that say by themselves that they are secret."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of an installation. Each tenant reaches its own and those that are for all."""

    directory: Path
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @classmethod
    def build(cls, settings: Settings) -> Self:
        return cls(settings.home / "secrets")

    def of(self, tenant: str) -> "TenantSecrets":
        """Those that the tenant of this name reaches."""
        return TenantSecrets(self.directory, self.environ, tenant)


@dataclass(frozen=True, slots=True)
class TenantSecrets:
    """The values of one tenant's references, read at each use. If a value changes, the next resource gets the new one.

    `file:NAME` is `secrets/<tenant>/NAME`, else `secrets/shared/NAME`. `env:LANDLORD_SECRET_<TENANT>__<NAME>` is the
    tenant's, and a variable without `__` in its name is for all."""

    directory: Path
    environ: Mapping[str, str] = field(repr=False)
    tenant: str

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
            owner, parted, _ = name.removeprefix(PREFIX).partition("__")
            if parted and owner != self.tenant.upper().replace("-", "_"):
                raise InvalidConfig(f"the secret {reference} is not this tenant's: `__` ends the name of its tenant")
            if name in self.environ:
                return self.environ[name]
            raise _missing(f"the secret {reference} is not set where the control plane runs")
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
        for directory, below in self._places(name):
            root = self.directory.resolve() / directory
            path = (root / below).resolve()
            if not path.is_relative_to(root):
                raise InvalidConfig(f"the secret {reference} leads out of the tenant's directory of secrets")
            try:
                with path.open("rb") as file:
                    return _text(reference, file.read(LONGEST + 1))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise _missing(f"the secret {reference} cannot be read: {error.strerror}") from None
        raise _missing(
            f"there is no file for the secret {reference} of this tenant: put it into secrets/{self.tenant}/ or, for "
            f"all tenants, into secrets/{SHARED}/ of LANDLORD_HOME; a file elsewhere is not this tenant's"
        )

    def _places(self, name: str) -> Iterator[tuple[str, str]]:
        """Directory and path in it, of each place where the file may be."""
        reached = [self.tenant, SHARED] if self.tenant else [SHARED]
        for directory in reached:
            yield directory, name
        for directory in reached:
            if name.startswith(f"{directory}/"):
                yield directory, name.removeprefix(f"{directory}/")  # as it was written before each tenant had its own


def _missing(message: str) -> NotAvailableYet:
    return NotAvailableYet(message, waits_for=WaitsFor.SECRET_MISSING)


def _text(reference: str, content: bytes) -> str:
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
