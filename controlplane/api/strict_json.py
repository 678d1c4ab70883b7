"""JSON from strangers: nothing ambiguous, and nothing that breaks the database or a recursive reader."""

import json
import re
from typing import Any, NoReturn

from starlette.requests import Request

from controlplane.api.failures import validation_failed
from controlplane.errors import Refused

MAX_DEPTH = 32
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
    value = parse(await request.body())
    if not isinstance(value, dict):
        raise _invalid("the body must be a JSON object")
    return value


def parse(body: bytes) -> Any:
    """Any JSON value; 1.0 is the integer 1, as in JSON Schema. Raises Refused if the body is not JSON by RFC 8259,
    repeats a member, is nested deeper than 32, or holds a NUL, half a surrogate pair, or a number beyond 64 bits."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_float=_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_no_repeats,
        )
    except (ValueError, RecursionError):
        raise _invalid("the body is not valid JSON") from None
    _check(value, 0)
    return value


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _invalid("the body repeats a member of an object")
    return result


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _invalid(f"the body is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, float | int) and not -_LIMIT[type(value)] < value < _LIMIT[type(value)]:
        raise _invalid("the body holds a number that is too large")


def _check_text(text: str) -> None:
    if _FORBIDDEN.search(text):
        raise _invalid("the body holds a character that is not allowed")


def _invalid(message: str) -> Refused:
    return validation_failed(message, [{"loc": "", "message": message}])
