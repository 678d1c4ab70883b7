"""Label selectors, as kubectl writes them: `tier=gold,env!=test,region in (eu,us),managed,!legacy`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_REQUIREMENTS = 20
FORMS = "key=value, key!=value, key in (a,b), key notin (a,b), key, !key; a comma means: and"

_KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]{0,126}[A-Za-z0-9])?"
_VALUE = r"[^,()=!\x00-\x1f\x7f-\U0010ffff]*"
_EQUAL = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(({_VALUE}(?:,{_VALUE})*)\)")
_PRESENT = re.compile(rf"(!?)\s*({_KEY})")
_BETWEEN = re.compile(r",(?![^(]*\))")
"""A comma that is not within parentheses."""


@dataclass(frozen=True)
class Requirement:
    """One part of a selector. Without `values` it asks for the key itself; `negated` asks for the opposite, which a
    tenant without the key meets too."""

    key: str
    values: tuple[str, ...] = ()
    negated: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        held = self.key in labels and (not self.values or labels[self.key] in self.values)
        return held is not self.negated


def parse_selector(*texts: str) -> tuple[Requirement, ...]:
    """All requirements of all texts must match. Raises ValueError with the forms that there are."""
    parts = [part.strip() for text in texts for part in _BETWEEN.split(text)]
    if len(parts) > MAX_REQUIREMENTS:
        raise ValueError(f"a selector has {MAX_REQUIREMENTS} parts at most")
    return tuple(_requirement(part) for part in parts)


def _requirement(part: str) -> Requirement:
    if found := _EQUAL.fullmatch(part):
        key, operator, value = found.groups()
        return Requirement(key, (value.strip(),), operator == "!=")
    if found := _SET.fullmatch(part):
        key, operator, values = found.groups()
        return Requirement(key, tuple(value.strip() for value in values.split(",")), operator == "notin")
    if found := _PRESENT.fullmatch(part):
        return Requirement(found[2], negated=bool(found[1]))
    raise ValueError(f"{part[:80]!r} is not a label selector; write {FORMS}")
