"""The one door for text from outside: a tenant's text, the answer of a platform or an engine, a driver's error. Such
text goes into rows, answers, logs and terminals.

Postgres accepts no NUL and no lone surrogate. A terminal obeys escape sequences. A log line ends at a newline. No
person reads 16 KiB of one line.
"""

import re
from typing import Any

from controlplane.secrecy import hide

DETAIL = 1_000
"""Longest detail of one resource, probe or platform, in characters."""
MESSAGE = 4_000
"""Longest message, in characters; it may hold several details."""

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC and its kin: titles, links
    r"|\x1b[ -/]*[0-~]"
)
"""Complete ANSI sequences, so that no part of them is left as text."""
_BREAKS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Control characters, and those that reverse the order of the shown text."""
_UNPRINTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""The same without tab and newline."""
_SURROGATES = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u(?:0000|d[89a-f])", re.I)
"""The form of `_UNSTORABLE`, or of half a good pair, in JSON."""


def clean(text: str, limit: int = MESSAGE) -> str:
    """`text` as one line of at most `limit` characters that can be stored and shown. Escape sequences and control
    characters are removed, line breaks and tabs become spaces, secrets that show by their form become stars
    (`secrecy.hide`), and a cut text ends in `…`."""
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return hide(text)
    text = text[: 8 * limit]  # a bound for the work
    text = _ESCAPES.sub("", text)
    text = hide(_SURROGATES.sub("\ufffd", _INVISIBLE.sub("", _BREAKS.sub(" ", text))).strip())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def visible(text: str) -> str:
    """`text` for a terminal: as it is, without anything but characters, tabs and newlines. No escape sequence is left
    that a terminal would obey."""
    return _UNPRINTED.sub("", _ESCAPES.sub("", text))


def storable(value: Any) -> Any:
    """A text, or JSON with texts in it, unchanged except for what Postgres refuses: NUL and lone surrogates become
    U+FFFD. If there is nothing to change, the very same object."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value) if _UNSTORABLE.search(value) else value
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def maybe_unstorable(json_text: str) -> bool:
    """A quick look: True if JSON text, written in ASCII, may hold something that Postgres refuses."""
    return _ESCAPED.search(json_text) is not None
