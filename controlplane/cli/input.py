"""Reads `-f FILE` and `--set a.b=c` from the command line into one document."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
import yaml

from controlplane.cli import written_yaml
from controlplane.cli.compose_file import read_compose
from controlplane.cli.written_yaml import Unfit


def read_document(file: Path | None, assignments: Sequence[str], compose: str | None = None) -> dict[str, Any]:
    """The file's document (`-` is stdin; YAML or JSON), or the spec of a compose service, with the assignments on top.

    Raises typer.BadParameter, which names the option.
    """
    if file is not None and compose is not None:
        raise typer.BadParameter("give -f or --compose, not both", param_hint="--compose")
    document = _read(file) if file is not None else {} if compose is None else {"spec": read_compose(compose)}
    for assignment in assignments:
        _assign(document, assignment)
    return document


def read_documents(files: Sequence[Path]) -> list[dict[str, Any]]:
    """The tenants of all files, each with a name that no other has. A file holds documents parted by `---`, each one
    tenant or a list of them. Of a directory, each `.yaml`, `.yml` and `.json` file is read, in the order of the names.

    Raises typer.BadParameter, which names the file and the key.
    """
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for file in _expanded(files):
        for document in _listed(_parsed(file)):
            if not isinstance(document, dict):
                raise typer.BadParameter(f"{file}: each document must be a mapping", param_hint="-f")
            name = document.get("name")
            if not isinstance(name, str):
                raise typer.BadParameter(f"{file}: a document has no name: the name of its tenant", param_hint="-f")
            if name in found:
                raise typer.BadParameter(f"{name} is in {found[name][0]} and in {file}", param_hint="-f")
            found[name] = (file, document)
    if not found:
        raise typer.BadParameter("there is no tenant in these files", param_hint="-f")
    return [document for _, document in found.values()]


def _expanded(files: Sequence[Path]) -> Iterator[Path]:
    for file in files:
        if file.is_dir():
            yield from sorted(one for one in file.iterdir() if one.suffix in (".yaml", ".yml", ".json"))
        else:
            yield file


def _listed(documents: list[Any]) -> Iterator[Any]:
    for document in documents:
        yield from document if isinstance(document, list) else [document]


def _read(file: Path) -> dict[str, Any]:
    documents = _parsed(file)
    if len(documents) > 1:
        detail = f"{file} has {len(documents)} documents: `landlord tenant apply` takes several"
        raise typer.BadParameter(detail, param_hint="-f")
    if not documents or not isinstance(documents[0], dict):
        raise typer.BadParameter(f"{file} must hold one mapping", param_hint="-f")
    return documents[0]


def _parsed(file: Path) -> list[Any]:
    try:
        return written_yaml.load_all(sys.stdin.read() if str(file) == "-" else file.read_text())
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="-f") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file}: {' '.join(str(error).split())}", param_hint="-f") from None
    except Unfit as error:
        raise typer.BadParameter(f"{file}: {error}", param_hint="-f") from None


def _assign(document: dict[str, Any], assignment: str) -> None:
    """`spec.compute.config.image=web:2`: the value is read as YAML, so `3` is a number and `[a, b]` a list. Where the
    API takes text, it is text as it was written (`env.PORT=8080`).

    A number in the path is an index into an existing list; `\\.` is a dot in a key.
    """
    path, separator, text = assignment.partition("=")
    if not separator or not path:
        raise typer.BadParameter(f"{assignment!r} is not of the form a.b=c", param_hint="--set")
    keys = tuple(key.replace("\0", ".") for key in path.replace("\\.", "\0").split("."))
    try:
        value = written_yaml.load(text, keys)
    except yaml.YAMLError:
        detail = f"the value of {assignment!r} is not YAML; put it in quotes: {path}='\"…\"'"
        raise typer.BadParameter(detail, param_hint="--set") from None
    except Unfit as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None
    *parents, last = keys
    place: Any = document
    for key in parents:
        place = place.setdefault(key, {}) if isinstance(place, dict) else _item(place, key, assignment)
    if isinstance(place, dict):
        place[last] = value
    else:
        _item(place, last, assignment)
        place[int(last)] = value


def _item(place: Any, key: str, assignment: str) -> Any:
    if isinstance(place, list) and key.isdigit() and int(key) < len(place):
        return place[int(key)]
    raise typer.BadParameter(f"{assignment!r}: there is nothing to set {key!r} in", param_hint="--set")
