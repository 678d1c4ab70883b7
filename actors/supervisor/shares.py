"""Who may have a place among the live actors. Pure.

Some places are kept: an eighth of them for deletes and heals, and an eighth for those platforms that have few. So an
outage of one platform, or a flood of changes, never holds all of them.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

URGENT_SHARE = 8
"""One place in so many is for deletes and heals only."""
PLATFORM_SHARE = 8
"""One place in so many is divided among the platforms other than the one that asks."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a tenant wants a place for. `platform`: the name of its compute provider; `urgent`: a delete or a heal."""

    platform: str
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Shares:
    """The places of a cluster: `ceiling` in all, on these enabled `platforms`."""

    ceiling: int
    platforms: Collection[str]

    def admits(self, claim: Claim, held: Iterable[Claim]) -> bool:
        """True if there is a place for it beside those that are held, and behind it as many are left as the others are
        promised."""
        held = list(held)
        return len(held) + self._promised(claim, held) < self.ceiling

    def _promised(self, claim: Claim, held: Collection[Claim]) -> int:
        """The places that stay free for others. A delete or a heal may take those of its own kind."""
        urgent = sum(one.urgent for one in held)
        for_urgent = 0 if claim.urgent else max(0, self.ceiling // URGENT_SHARE - urgent)
        others = [platform for platform in self.platforms if platform != claim.platform]
        if not others:
            return for_urgent
        by_platform = Counter(one.platform for one in held)
        each = self.ceiling // PLATFORM_SHARE // len(others)
        return for_urgent + sum(max(0, each - by_platform[platform]) for platform in others)
