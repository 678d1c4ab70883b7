"""The one door for text from outside: what a tenant wrote, what a platform or an engine answered, what a driver said.

Such text goes into rows, answers, logs and terminals. Postgres takes no NUL and no lone surrogate; a terminal obeys
escape sequences; a log line ends at a newline; nobody reads 16 KiB of one line.
"""

import re
from typing import Any

DETAIL = 1_000
"""Characters of what one resource, probe or platform says of itself."""
MESSAGE = 4_000
"""Characters of a message that may hold several details."""

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC and its kin: titles, links
    r"|\x1b[ -/]*[0-~]"
)
"""ANSI sequences as a whole, so that nothing of them is left as text."""
_BREAKS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Control characters, and those that turn the order of what is shown around."""
_SURROGATES = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u(?:0000|d[89a-f])", re.I)
"""How `_UNSTORABLE`, or half of a good pair, stands in JSON."""


def clean(text: str, limit: int = MESSAGE) -> str:
    """`text` as one line of at most `limit` characters that can be stored and shown: escape sequences and control
    characters are gone, line breaks and tabs are spaces, what is cut off ends in `…`."""
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    text = text[: 8 * limit]  # a bound for the work
    text = _ESCAPES.sub("", text)
    text = _SURROGATES.sub("\ufffd", _INVISIBLE.sub("", _BREAKS.sub(" ", text))).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def storable(value: Any) -> Any:
    """A text, or JSON with texts in it, as it is but for what Postgres refuses: NUL and lone surrogates become U+FFFD.
    The very same object where nothing is to be done."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value) if _UNSTORABLE.search(value) else value
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def maybe_unstorable(json_text: str) -> bool:
    """Whether JSON text, written in ASCII, may hold something that Postgres refuses; a quick look."""
    return _ESCAPED.search(json_text) is not None
