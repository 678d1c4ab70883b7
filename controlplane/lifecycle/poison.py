"""Turns that fail, one after the other: when their owner leaves, for how long, and when they count as over. Pure.

An owner that stayed would hold a place and a lease for ever, and nobody would be told.
"""

from dataclasses import dataclass
from typing import Self

from controlplane.lifecycle.decisions import Decision, Passivate
from controlplane.lifecycle.owner_state import OwnerState
from controlplane.model import TenantRows

SAME_IN_A_ROW = 5
"""Failures of one kind at one point, after which the owner leaves."""
ANY_IN_A_ROW = 15
WANTED_ELSEWHERE = 2
"""So many are enough if other tenants want its place, or the cluster drains."""

FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Failing:
    """What has failed since it last succeeded. `at`: the step of a turn, an act or a chore, by its name."""

    at: str | None = None
    kind: str = ""
    same: int = 0
    any: int = 0

    def again(self, at: str, kind: str) -> Self:
        same = self.same + 1 if (at, kind) == (self.at, self.kind) else 1
        return type(self)(at, kind, same, self.any + 1)

    def leaves(self, *, wanted: bool, woken: bool) -> bool:
        """The owner leaves. `wanted`: its place is. `woken`: there is news, so it looks once more, within bounds."""
        enough = self.same >= SAME_IN_A_ROW or (wanted and self.any >= WANTED_ELSEWHERE)
        return self.any >= ANY_IN_A_ROW or (enough and not woken)


def pause(departures: int) -> float:
    """Seconds until the next owner comes, after the owners have left so often in a row."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(departures - 1, 10))


def well(rows: TenantRows, state: OwnerState, decision: Decision, *, busy: bool) -> bool:
    """Nothing is left to do and nothing is under way (`busy`: a chore is), so nothing fails, whatever failed before."""
    if busy or not (decision.act is None or isinstance(decision.act, Passivate)):
        return False
    if rows.active is not None or rows.queued is not None or rows.placements[1:]:
        return False
    if rows.serving is None:
        return not rows.placements
    return state.finding is not None and state.finding.epoch == rows.tenant.epoch and state.look_due is None
