"""Words in answers. The schema lists those of this release. After a roll-back a row may hold a word of a newer one. It
is shown as it is, and no answer fails because of it."""

from collections.abc import Iterable

from pydantic import WithJsonSchema


def words(known: Iterable[str]) -> WithJsonSchema:
    """The schema of a text that is one of these."""
    return WithJsonSchema({"enum": [str(word) for word in known], "type": "string"})
