"""Keeps the values of a tenant's environment out of texts for people."""

from collections.abc import Iterable

SHORTEST = 4
"""Shorter values (`1`, `no`) are no secrets, and removing them would leave no readable text."""


def redact(text: str, hidden: Iterable[str]) -> str:
    """`text` with every occurrence of a `hidden` value replaced by `***`, longest first."""
    for value in sorted({v for v in hidden if len(v) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(value, "***")
    return text
