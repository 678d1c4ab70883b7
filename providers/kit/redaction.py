"""Keep the values of a tenant's environment out of what people read."""

from collections.abc import Iterable

SHORTEST = 4
"""Shorter values (`1`, `no`) are no secrets, and cutting them out would leave no text to read."""


def redact(text: str, hidden: Iterable[str]) -> str:
    """`text` with every occurrence of what is `hidden` replaced by `***`, longest first."""
    for value in sorted({v for v in hidden if len(v) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(value, "***")
    return text
