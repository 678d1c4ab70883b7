"""The state of the model: everything that decides what may happen next to one tenant name, as nested tuples.

Rows are what Postgres holds, resources what a compute platform holds; runners, owners and the sweep are the parties,
each of which may be paused for ever at any point. Keys and names are the real ones of `controlplane.model`.
"""

from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from controlplane.model import (
    ACTIVE,
    Action,
    ExecutionState,
    PlacementState,
    Status,
    StopCause,
    execution_id,
)
from controlplane.ports import ResourceState

NAME = "acme"
OWNER = "00000000-0000-7000-8000-000000000001"
CLUSTERS = ("here", "there")
LIVES = (UUID("0190c8c6-0000-7000-8000-0000aaaaaaaa"), UUID("0190c8c6-0000-7000-8000-0000bbbbbbbb"))
"""The tenants that bear the name one after the other."""

ENGINE = 0
"""Holder of a runner that an external engine started."""
FORGOTTEN = -1
"""Holder of a runner whose actor has dropped it and whose thread has not returned."""


class Lease(StrEnum):
    FREE = "free"
    VALID = "valid"
    EXPIRED = "expired"


class Tenant(NamedTuple):
    """The row of the present bearer of the name. `past`: what served its predecessors when they were deleted."""

    life: int = 0
    generation: int = 1
    observed: int = 0
    status: Status = Status.REQUESTED
    deleting: bool = False
    serving: str | None = None
    current: str = ""
    past: tuple[str | None, ...] = ()
    paused: bool = False
    fence: int = 1
    lease: Lease = Lease.VALID
    cluster: int = 0
    budget_spent: bool = False
    """The condition Healthy says HealBudget."""
    away: bool = False
    """`wake_at` is not over: its owner left while it waited."""
    found: tuple[str, str] | None = None
    """In the supervisor's memory: what serves, and the finding about it that has woken the tenant."""
    failing: str | None = None
    """`failing_at`: an owner has left because its turns failed there, or only a newer release can act on the rows."""

    @property
    def deleted(self) -> bool:
        return self.status is Status.DELETED


class Execution(NamedTuple):
    """A row of executions with its steps. `engine`: what an external engine knows of it."""

    id: str
    life: int
    action: Action
    generation: int
    run: int
    state: ExecutionState = ExecutionState.QUEUED
    engine: str = ""
    """"" never heard of it, `accepted`, `cancelling`, `silent`, or a terminal SubState."""
    cause: StopCause | None = None
    cancel: bool = False
    heal: bool = False
    done: int = 0
    """So many steps have succeeded."""
    retried: bool = False
    """The step that is on has a failed attempt."""
    newer: bool = False
    """Its spec has a part that only the newer release can read."""

    @property
    def order(self) -> tuple[int, int, int]:
        return self.life, self.generation, self.run


class Placement(NamedTuple):
    execution: str
    state: PlacementState
    resource: str | None = None


class Resource(NamedTuple):
    """What the platform holds. `id` is immutable and never given twice."""

    id: str
    execution: str
    state: ResourceState
    healthy: bool = False


class Runner(NamedTuple):
    """Something that goes through real code: a runner of an execution's steps, or an owner's chore. `position`: where
    it is in there (`binding`)."""

    execution: str
    holder: int
    position: int


class Owner(NamedTuple):
    """A tenant actor. `finding`: what its last look saw, (still fresh, present, running, healthy); `looking`: a look is
    under way, and whether it is still fresh; `blind`: the last one failed, and the next is not due; `act`: what it has
    decided and not yet done."""

    cluster: int
    fence: int
    finding: tuple[bool, bool, bool, bool] | None = None
    looking: bool | None = None
    blind: bool = False
    act: tuple[Any, ...] | None = None
    old: bool = False
    """Its process is of the older release."""


class Sweep(NamedTuple):
    """The supervisor's hunt for leftovers: `checks` times the rows said that this resource is one."""

    checks: int = 0
    resource: str = ""
    execution: str = ""


class Budget(NamedTuple):
    """How often the environment may still do something."""

    patches: int = 0
    deletes: int = 0
    retries: int = 0
    cancels: int = 0
    pauses: int = 0
    forces: int = 0
    rebirths: int = 0
    kills: int = 0
    """A resource vanishes, exits or falls ill by itself."""
    crashes: int = 0
    seconds: int = 0
    """An engine starts a second runner of the same execution, or a start that was given up reaches it late."""
    owners: int = 0
    """Another actor comes for the tenant; the one before may be paused, not dead."""
    expiries: int = 0
    failures: int = 0
    """A workload that never becomes healthy."""
    outages: int = 0
    """The platform answers with an error, before or after the effect."""
    deadlines: int = 0
    silences: int = 0
    """An engine goes away for good, with what it was doing."""
    blinds: int = 0
    """A look of an owner fails, for the platform does not answer."""
    lies: int = 0
    """An engine says that an execution has succeeded: it speaks of an earlier life of the same id."""
    errors: int = 0
    """An engine gives an execution up and waits for a person."""
    newers: int = 0
    """A client of the newer release asks for what only that release can read."""
    rollbacks: int = 0
    poisons: int = 0
    """An act of the owner begins to fail each time (`Case.poison`)."""


class World(NamedTuple):
    tenant: Tenant
    executions: tuple[Execution, ...]
    budget: Budget
    placements: tuple[Placement, ...] = ()
    resources: tuple[Resource, ...] = ()
    runners: tuple[Runner, ...] = ()
    owners: tuple[Owner, ...] = ()
    sweep: Sweep = Sweep()
    made: tuple[tuple[str, int], ...] = ()
    """How many resources each execution has had: immutable ids are never given twice."""
    old: bool = False
    """Rolled back: what starts now is of the older release."""
    poison: str = ""
    """The act of owners that fails now."""

    def find(self, id: str | None) -> Execution | None:
        for execution in self.executions:
            if execution.id == id:
                return execution
        return None

    def of(self, id: str) -> Execution:
        found = self.find(id)
        assert found is not None, id
        return found

    @property
    def active(self) -> Execution | None:
        return next((e for e in self.executions if e.state in ACTIVE), None)

    @property
    def queued(self) -> Execution | None:
        return next((e for e in self.executions if e.state is ExecutionState.QUEUED), None)

    @property
    def owner(self) -> Owner | None:
        """Who holds the lease."""
        return next((o for o in self.owners if o.fence == self.tenant.fence), None)

    # --- writes; each returns the world after it ---

    def of_tenant(self, **values: Any) -> "World":
        return self._replace(tenant=self.tenant._replace(**values))

    def save(self, id: str, **values: Any) -> "World":
        rows = tuple(e._replace(**values) if e.id == id else e for e in self.executions)
        return self._replace(executions=rows)

    def placement(self, id: str) -> Placement | None:
        return next((p for p in self.placements if p.execution == id), None)

    def place(self, changed: Placement) -> "World":
        others = [p for p in self.placements if p.execution != changed.execution]
        return self._replace(placements=tuple(sorted([*others, changed])))

    def put(self, old: Resource | None, new: Resource | None) -> "World":
        """Add, change or take away a resource."""
        others = [r for r in self.resources if r is not old]
        return self._replace(resources=tuple(sorted([*others, new] if new else others)))

    def move(self, old: Runner | None, new: Runner | None) -> "World":
        """A runner comes, goes on or goes."""
        others = list(self.runners)
        if old is not None:
            others.remove(old)
        return self._replace(runners=tuple(sorted([*others, new] if new else others)))

    def own(self, old: Owner | None, new: Owner | None) -> "World":
        others = [o for o in self.owners if o is not old]
        return self._replace(owners=tuple(sorted([*others, new] if new else others, key=lambda o: o.fence)))

    def spend(self, what: str) -> "World":
        return self._replace(budget=self.budget._replace(**{what: getattr(self.budget, what) - 1}))

    def bump(self) -> "World":
        """tenants.epoch + 1: what was seen before is void."""
        owners = tuple(
            o._replace(
                finding=o.finding and (False, *o.finding[1:]),
                looking=None if o.looking is None else False,
            )
            if o.finding or o.looking
            else o
            for o in self.owners
        )
        return self._replace(owners=owners)


@cache
def id_of(life: int, action: Action, generation: int, run: int) -> str:
    return execution_id(NAME, action, generation, LIVES[life], run)
