"""`${NAME:-default}` and its kin, as compose fills them in."""

import re
from collections.abc import Mapping

from controlplane.cli.compose.errors import ComposeError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def fill(text: str, environ: Mapping[str, str], unset: set[str], key: str) -> str:
    """The text with its variables filled in; `$$` is a dollar sign. A variable that is not set is empty, and is added
    to `unset`. `key`: where the text stands. Raises ComposeError."""
    filled: list[str] = []
    position = 0
    while position < len(text):
        if text[position] != "$":
            end = text.find("$", position)
            end = len(text) if end < 0 else end
            filled.append(text[position:end])
            position = end
        elif text.startswith("$$", position):
            filled.append("$")
            position += 2
        elif text.startswith("${", position):
            end = _closing(text, position + 2, key)
            filled.append(_braced(text[position + 2 : end], environ, unset, key))
            position = end + 1
        elif name := _NAME.match(text, position + 1):
            filled.append(_value(name[0], environ, unset))
            position = name.end()
        else:
            raise ComposeError(key, f"{text[:60]!r} has a $ that begins no variable; write $$ for a dollar sign")
    return "".join(filled)


def _closing(text: str, position: int, key: str) -> int:
    """Where the brace ends that is open there."""
    depth = 1
    while position < len(text):
        if text.startswith("${", position):
            depth += 1
            position += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise ComposeError(key, f"{text[:60]!r} has a ${{ without its }}")


def _braced(inside: str, environ: Mapping[str, str], unset: set[str], key: str) -> str:
    name = _NAME.match(inside)
    if name is None:
        raise ComposeError(key, f"${{{inside[:60]}}} names no variable; write $$ for a dollar sign")
    found, rest = environ.get(name[0]), inside[name.end() :]
    if not rest:
        return _value(name[0], environ, unset)
    how = re.match(r":?[-?+]", rest)
    if how is None:
        raise ComposeError(key, f"${{{inside[:60]}}} is not understood; write ${{{name[0]}:-default}}")
    there = bool(found) if how[0].startswith(":") else found is not None
    word = rest[how.end() :]
    match how[0][-1]:
        case "-":
            return found or "" if there else fill(word, environ, unset, key)
        case "+":
            return fill(word, environ, unset, key) if there else ""
    if not there:
        raise ComposeError(key, f"the variable {name[0]} must be set: {word or 'it is not'}")
    return found or ""


def _value(name: str, environ: Mapping[str, str], unset: set[str]) -> str:
    if name not in environ:
        unset.add(name)
    return environ.get(name, "")
