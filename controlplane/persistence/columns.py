"""The last net for text on its way into a row: no text, of any origin, can make a write fail.

The door is `controlplane.text.clean`, where errors and details are made. If a write fails because of a text, it fails
each time it is tried. So text that passed the door unclean is mended here and not refused.
"""

import json
from typing import Any

from sqlalchemy import types
from sqlalchemy.engine import Dialect

from controlplane.text import clean, maybe_unstorable, storable


class Text(types.TypeDecorator[str]):
    """Text unchanged, except for NUL and lone surrogates."""

    impl = types.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(storable(value))


class Message(types.TypeDecorator[str]):
    """For people: one line, bounded, without control characters."""

    impl = types.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean(value)


def to_json(value: Any) -> str:
    """The engine's serializer of all jsonb."""
    encoded = json.dumps(value)
    return json.dumps(storable(value)) if maybe_unstorable(encoded) else encoded
