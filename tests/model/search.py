"""Every state that can be reached, breadth first, so that a counterexample is a shortest one."""

import time
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from controlplane.errors import InvalidTransition
from tests.model import invariants
from tests.model.case import Case, Kind
from tests.model.environment import Environment
from tests.model.owner import FORMER, OLDER, Owners
from tests.model.runners import Move, Runners
from tests.model.world import World

WEDGED = "no good end can be reached by our own moves"


@dataclass
class Result:
    states: int = 0
    exhaustive: bool = True
    seconds: float = 0.0
    rests: int = 0
    """States in which nothing is left to do and all is well."""
    broken: dict[str, list[str]] = field(default_factory=dict)
    """What does not hold → a shortest way there."""


def explore(case: Case, *, limit: int = 2_000_000, until: str = "") -> Result:
    """`until`: end as soon as it is known that this does not hold."""
    return _Search(case, limit, until).run()


class _Search:
    def __init__(self, case: Case, limit: int, until: str) -> None:
        self._case = case
        self._limit = limit
        self._until = until
        binding = case.binding()
        runners = Runners(case, binding)
        self._parties = (runners, Owners(case, binding, runners), Environment(case, binding, runners))
        first = case.begin(binding)
        self._numbers = {first: 0}
        self._worlds = [first]
        self._came: list[tuple[int, Any]] = [(-1, None)]
        self._from, self._to = array("i"), array("i")
        self._good: list[int] = []
        self._result = Result()

    def run(self) -> Result:
        begun, number = time.perf_counter(), 0
        while number < len(self._worlds):
            if len(self._worlds) > self._limit or self._until in self._result.broken:
                self._result.exhaustive = False
                break
            self._visit(number)
            number += 1
        if self._result.exhaustive:
            self._find_wedges()
        self._result.states = len(self._worlds)
        self._result.rests = len(self._good)
        self._result.seconds = time.perf_counter() - begun
        return self._result

    def _visit(self, number: int) -> None:
        world = self._worlds[number]
        self._note(invariants.of_state(world), number)
        ours = False
        try:
            for label, after, kind in self._moves(world):
                if after == world:
                    continue
                self._note(
                    invariants.of_move(world, after, kind, zombie=label[0] == FORMER, older=label[0] == OLDER),
                    number,
                    label,
                    after,
                )
                there = self._numbers.get(after)
                if there is None:
                    there = self._numbers[after] = len(self._worlds)
                    self._worlds.append(after)
                    self._came.append((number, label))
                if kind is Kind.OURS or (kind is Kind.LUCK and not world.tenant.deleting):
                    self._from.append(number)
                    self._to.append(there)
                ours = ours or kind is not Kind.ENVIRONMENT
        except InvalidTransition as refused:
            self._note(f"the status table refuses: {refused}", number)
        if not ours:
            wrong = invariants.at_rest(world, self._case)
            self._note(wrong, number)
            if wrong is None:
                self._good.append(number)

    def _moves(self, world: World) -> Iterator[Move]:
        for party in self._parties:
            yield from party.moves(world)

    def _find_wedges(self) -> None:
        """Backwards from the good ends; once deletion was asked for, a workload that answers does not count."""
        into: list[list[int]] = [[] for _ in self._worlds]
        for here, there in zip(self._from, self._to, strict=True):
            into[there].append(here)
        reaches = bytearray(len(self._worlds))
        for number in self._good:
            reaches[number] = 1
        waiting = deque(self._good)
        while waiting:
            for earlier in into[waiting.popleft()]:
                if not reaches[earlier]:
                    reaches[earlier] = 1
                    waiting.append(earlier)
        wedged = reaches.find(0)
        if wedged >= 0:
            self._note(WEDGED, wedged)

    def _note(self, wrong: str | None, number: int, last: Any = None, after: World | None = None) -> None:
        """Of the state of that number, or of the move `last` from there to `after`."""
        if wrong is None or wrong in self._result.broken:
            return
        trace = [last] if last is not None else []
        at = number
        while at > 0:
            at, label = self._came[at]
            trace.append(label)
        told = [_told(label) for label in reversed(trace)]
        self._result.broken[wrong] = [*told, f"  then: {_shown(after or self._worlds[number])}"]


def _told(label: tuple[Any, ...]) -> str:
    return " ".join(_short(part) for part in label if part is not None)


def _shown(world: World) -> str:
    rows = ", ".join(f"{_short(e.id)} {e.state}" for e in world.executions)
    held = ", ".join(f"{_short(r.id)} {r.state}" for r in world.resources)
    return f"{world.tenant.status}, serving {_short(world.tenant.serving)}; rows: {rows}; resources: {held or 'none'}"


def _short(part: Any) -> str:
    """`update-2-r2` for `tenant-acme-update-2-aaaaaaaa-r2`."""
    text = str(part)
    for noise in ("tenant-acme-", "-aaaaaaaa", "landlord-"):
        text = text.replace(noise, "")
    return text
