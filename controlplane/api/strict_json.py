"""JSON from strangers: nothing ambiguous, nothing that breaks the database or a recursive reader, and not so many parts
that working through them holds up the others."""

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from starlette.requests import Request

from controlplane.api.beside import beside
from controlplane.api.failures import validation_failed
from controlplane.errors import Refused

MAX_DEPTH = 32
MAX_VALUES = 8192
"""Values in a whole document, at any depth."""
MAX_ITEMS = 1024
"""Items of one list, or members of one object."""
MAX_TEXT = 64 * 1024
"""Characters of one text."""
MAX_NAME = 256
"""Characters of the name of a member."""
_LIMIT: dict[type, float] = {bool: 2, int: 2**63, float: float("inf")}
_EXACT = 2**53
"""Below this, a whole float is exactly one integer."""
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
_JSON = ("application/json",)


async def read_object(request: Request, media_types: tuple[str, ...] = _JSON) -> dict[str, Any]:
    """The body as a JSON object. Raises Refused: another media type (415), not JSON, not an object (400)."""
    content_type = request.headers.get("content-type", _JSON[0]).split(";", 1)[0].strip().lower()
    if content_type not in media_types:
        raise Refused(f"the body must be sent as {' or '.join(media_types)}", code="unsupported_media_type", status=415)
    body = await request.body()
    value = await beside(len(body), lambda: parse(body))
    if not isinstance(value, dict):
        raise _invalid("the body must be a JSON object")
    return value


def parse(body: bytes) -> Any:
    """Any JSON value; 1.0 is the integer 1, as in JSON Schema. Raises Refused if the body is not JSON by RFC 8259,
    repeats a member, holds a NUL, half a surrogate pair, or a number beyond 64 bits, or has more of something than the
    bounds above."""
    reader = _Reader()
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_float=reader.number,
            parse_constant=_refuse_constant,
            object_pairs_hook=reader.object,
        )
    except (ValueError, RecursionError):
        raise _invalid("the body is not valid JSON") from None
    refuse_excess(value)
    return value


def refuse_excess(value: Any) -> None:
    """Raises Refused validation_failed (400) that names the place, the bound, and what to do."""
    _Walk().into(value, ())


class _Reader:
    """Gives up a document with far too many parts while it is read."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def number(self, text: str) -> float:
        self._count()
        value = float(text)
        return int(value) if value.is_integer() and abs(value) < _EXACT else value

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._count()
        result = dict(pairs)
        if len(result) != len(pairs):
            raise _invalid("the body repeats a member of an object")
        return result

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _too_many_values()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class _Walk:
    """One look at every part of a document."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def into(self, value: Any, path: tuple[str | int, ...]) -> None:
        self._left -= 1
        if self._left < 0:
            raise _too_many_values()
        if len(path) > MAX_DEPTH:
            raise _invalid(f"the body is nested deeper than {MAX_DEPTH}")
        if isinstance(value, str):
            _check_text(value, MAX_TEXT, path)
        elif isinstance(value, dict | list):
            if len(value) > MAX_ITEMS:
                raise _excess(path, f"has {len(value)} items, of which {MAX_ITEMS} are allowed")
            for name, item in _parts(value):
                if isinstance(name, str):
                    _check_text(name, MAX_NAME, path)
                self.into(item, (*path, name))
        elif isinstance(value, float | int) and not -_LIMIT[type(value)] < value < _LIMIT[type(value)]:
            raise _invalid("the body holds a number that is too large")


def _parts(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str | int, Any]]:
    yield from value.items() if isinstance(value, dict) else enumerate(value)


def _check_text(text: str, most: int, path: tuple[str | int, ...]) -> None:
    if len(text) > most:
        raise _excess(path, f"has a text of {len(text)} characters, of which {most} are allowed")
    if _FORBIDDEN.search(text):
        raise _invalid("the body holds a character that is not allowed")


def _too_many_values() -> Refused:
    return _invalid(f"the body holds more than {MAX_VALUES} values; send fewer")


def _excess(path: tuple[str | int, ...], message: str) -> Refused:
    loc = ".".join(map(str, path))
    return validation_failed(
        f"{loc or 'the body'} {message}; shorten it", [{"loc": loc, "message": f"{message}; shorten it"}]
    )


def _invalid(message: str) -> Refused:
    return validation_failed(message, [{"loc": "", "message": message}])
