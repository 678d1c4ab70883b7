"""Contexts: control planes by name, each with its address, token and authorities. One may be in use.

They belong to a person, not to a home: the file is in the user's configuration directory. It is 0600, for it holds
tokens.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from controlplane.errors import SettingsError
from controlplane.local.paths import write_private
from controlplane.settings import Settings, load_settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Context(BaseModel):
    """One control plane. `token` None: LANDLORD_TOKEN has to say it. `ca` None: the usual authorities."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    token: SecretStr | None = None
    ca: Path | None = None


class Contexts(BaseModel):
    """All contexts of this person."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    in_use: str | None = None
    contexts: dict[str, Context] = Field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Without a file there are none. Raises SettingsError if it is not as we wrote it, or if it is not this
        person's alone."""
        try:
            with path.open() as file:
                _refuse_others(path, os.fstat(file.fileno()))
                return cls.model_validate(yaml.safe_load(file.read()) or {})
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            # What this account may not read is another's.
            return cls()
        except OSError as error:
            raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
        # The content may be a token in the wrong place: it is not repeated.
        except (yaml.YAMLError, UnicodeDecodeError, ValidationError):
            raise SettingsError(f"{path} is not a file of contexts; mend it, or remove it") from None

    def write(self, path: Path) -> None:
        """Replace the file. Raises SettingsError if that fails."""
        text = yaml.safe_dump(_plain(self), sort_keys=True)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, text)
        except OSError as error:
            raise SettingsError(f"{path} cannot be written: {error.strerror}") from None

    def chosen(self, name: str | None) -> Context | None:
        """The context of this name; without a name, the one in use. Raises SettingsError if there is none of it."""
        wanted = name or self.in_use
        if wanted is None:
            return None
        if wanted not in self.contexts:
            there = ", ".join(sorted(self.contexts)) or "none; `landlord context add` makes one"
            raise SettingsError(f"LANDLORD_CONTEXT: there is no context {wanted!r}; there are: {there}")
        return self.contexts[wanted]

    def having(self, name: str, context: Context) -> Self:
        return self.model_copy(update={"contexts": {**self.contexts, name: context}})

    def using(self, name: str | None) -> Self:
        """`name` None: none is in use. Raises SettingsError if there is none of this name."""
        if name is not None:
            self.chosen(name)
        return self.model_copy(update={"in_use": name})

    def without(self, name: str) -> Self:
        """Raises SettingsError if there is none of this name."""
        self.chosen(name)
        rest = {key: value for key, value in self.contexts.items() if key != name}
        return self.model_copy(update={"contexts": rest, "in_use": None if self.in_use == name else self.in_use})


def contexts_path(environ: Mapping[str, str] | None = None) -> Path:
    """As the XDG Base Directory Specification says, which has us ignore a relative path."""
    given = Path((os.environ if environ is None else environ).get("XDG_CONFIG_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".config") / "landlord" / "contexts.yaml"


def command_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of a command that calls a control plane: LANDLORD_URL, or else the context, or else the home's own.

    LANDLORD_TOKEN and LANDLORD_CA go before what the context says. Raises SettingsError.
    """
    environ = os.environ if environ is None else environ
    settings = load_settings(environ)
    if environ.get("LANDLORD_URL"):
        # Not even the context's token: it would go to another server.
        return settings
    contexts = Contexts.read(contexts_path(environ))
    context = contexts.chosen(settings.context)
    if context is None:
        return settings
    # The home's config.yaml is about the home's control plane; so only the environment counts here.
    token = settings.token if environ.get("LANDLORD_TOKEN") else context.token
    if token is None:
        name = settings.context or contexts.in_use
        raise SettingsError(
            f"LANDLORD_TOKEN: the context {name} has no token; set it, or add it again with --token-file"
        )
    ca = settings.ca if environ.get("LANDLORD_CA") else context.ca
    return settings.model_copy(update={"url": context.url, "token": token, "ca": ca})


def _plain(contexts: Contexts) -> dict[str, Any]:
    return {
        "in_use": contexts.in_use,
        "contexts": {
            name: {
                "url": one.url,
                "token": None if one.token is None else one.token.get_secret_value(),
                "ca": None if one.ca is None else str(one.ca),
            }
            for name, one in contexts.contexts.items()
        },
    }


def _refuse_others(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise SettingsError(f"{path} belongs to another user (uid {found.st_uid}), who could change it")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise SettingsError(f"{path} holds tokens and is open to others; `chmod 600 {path}` closes it")
