"""Reads `--compose FILE[:SERVICE]`, with the files and variables that belong to it."""

import os
import sys
from pathlib import Path
from typing import Any

import typer

from controlplane.cli.compose import ComposeError, Leftover, Source, find_service, translate
from controlplane.cli.console import errors

VARIABLES = ".env"
"""The file with variables beside a compose file."""


def read_compose(argument: str) -> dict[str, Any]:
    """The spec of the service. What it could not carry over goes to stderr, one line a key.

    Raises typer.BadParameter."""
    file, service = _parted(argument)
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        source = _source(file.parent)
        name, found, volumes = find_service(text, service, source)
        translation = translate(name, found, volumes, source)
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="--compose") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not text", param_hint="--compose") from None
    except ComposeError as error:
        raise typer.BadParameter(f"{file}: {error}", param_hint="--compose") from None
    _tell(name, translation.leftovers)
    return translation.spec


def _parted(argument: str) -> tuple[Path, str | None]:
    """A file may have a colon in its name."""
    file, colon, service = argument.rpartition(":")
    if not colon or Path(argument).is_file():
        return Path(argument), None
    return Path(file), service


def _source(directory: Path) -> Source:
    """As compose does it: the shell's variables count more than the file's."""

    def read(path: str) -> str:
        return (directory / Path(path).expanduser()).read_text()

    try:
        beside = Source(read, os.environ).variables(read(VARIABLES), VARIABLES)
    except FileNotFoundError:
        beside = {}
    return Source(read, {**{name: value for name, value in beside.items() if value is not None}, **os.environ})


def _tell(service: str, leftovers: list[Leftover]) -> None:
    if leftovers:
        errors.print(f"not carried over from {service}:", markup=False)
    for left in leftovers:
        errors.print(f"  {left.key}: {left.instead}", style="yellow", markup=False)
