"""Opaque cursors for keyset pagination. A cursor holds the place where a page ended, not a number of rows to skip, so
inserts do not move pages."""

import base64
import json
from typing import Any

from controlplane.api.failures import validation_failed


def encode(kind: str, *key: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps([kind, *key]).encode()).decode().rstrip("=")


def decode(cursor: str | None, kind: str, *types: type) -> tuple[Any, ...] | None:
    """The key at which the previous page ended, or None without a cursor. Raises Refused for a cursor that is not
    ours."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found, *key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError):
        raise _foreign() from None
    if found != kind or [type(part) for part in key] != list(types) or not all(map(_storable, key)):
        raise _foreign()
    return tuple(key)


def _storable(part: Any) -> bool:
    if isinstance(part, int):
        return -(2**31) <= part < 2**63
    return "\x00" not in part and part.isprintable()


def _foreign() -> Exception:
    message = "is not a cursor of this list"
    return validation_failed(f"cursor {message}", [{"loc": "cursor", "message": message}])
