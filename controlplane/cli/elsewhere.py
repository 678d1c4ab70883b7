"""Groups of commands that are imported when they are asked for.

Together the commands need every library of the control plane, which takes a second to import. Most of them only call
the API.
"""

from collections import UserDict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is: `function`, or the typer application, of a module of `controlplane.cli`. `panel`: the heading
    under which the help has it."""

    module: str
    function: str
    panel: str | None = None

    def load(self, name: str) -> Any:
        found = getattr(import_module(f"controlplane.cli.{self.module}"), self.function)
        alone = typer.Typer(add_completion=False)
        alone.callback()(_nothing)  # without it, a single command would be the whole application
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=name, rich_help_panel=self.panel)
        else:
            alone.command(name, rich_help_panel=self.panel)(found)
        return typer.main.get_group(alone).commands[name]


def _nothing() -> None: ...


class Group(TyperGroup):
    """A group that has the commands of `elsewhere`, by their names, behind its own."""

    elsewhere: ClassVar[Mapping[str, Place]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Loaded({**self.commands, **self.elsewhere})

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


class _Loaded(UserDict[str, Any]):
    """Commands by their names. Those that are elsewhere are imported when they are looked up."""

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        if isinstance(found, Place):
            found = self.data[name] = found.load(name)
        return found
