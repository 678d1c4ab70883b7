"""What the owner of a tenant may do next: one value each. `reconcile` chooses, `actors/tenant/runner.py` does it."""

from dataclasses import dataclass, field

from controlplane.model import Execution, ExecutionState, Placement, StopCause
from controlplane.ports import ExecutionStatus


@dataclass(frozen=True, slots=True)
class Leave:
    """The tenant is deleted: exit."""


@dataclass(frozen=True, slots=True)
class Passivate:
    """Nothing to do for a while: give the lease back and exit. `wake_in`: seconds after which the tenant is due again;
    None: when somebody wants something of it."""

    wake_in: float | None = None


@dataclass(frozen=True, slots=True)
class Promote:
    execution: Execution


@dataclass(frozen=True, slots=True)
class Start:
    """Call the engine's start (idempotent) and follow it."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class Follow:
    execution: Execution


@dataclass(frozen=True, slots=True)
class AdvancePlanned:
    execution: Execution


@dataclass(frozen=True, slots=True)
class RecordProgress:
    execution: Execution
    status: ExecutionStatus


@dataclass(frozen=True, slots=True)
class Stop:
    execution: Execution
    cause: StopCause
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    execution: Execution
    outcome: ExecutionState
    message: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """End a delete whose engine is not there as failed; its next run is `engine`'s."""

    execution: Execution
    engine: str
    message: str


@dataclass(frozen=True, slots=True)
class Clean:
    """Remove what executions that ended without serving have left."""

    placements: tuple[Placement, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """Observe and probe the serving resource."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class RestoreServing:
    """The serving resource is there and does not run: start it again."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class MarkUnhealthy:
    message: str


@dataclass(frozen=True, slots=True)
class MarkRecovered:
    """The newest generation serves, and is well again."""


@dataclass(frozen=True, slots=True)
class MarkKept:
    """An older generation serves and is well again. `message`: why the newest does not serve."""

    message: str


@dataclass(frozen=True, slots=True)
class Heal:
    """Make the serving execution's resource again, from its own snapshot."""

    serving: Execution
    reason: str


@dataclass(frozen=True, slots=True)
class MarkBudgetSpent:
    """Healed too often of late: it stays degraded until the budget's window has moved on."""

    message: str


Act = (
    Leave
    | Passivate
    | Promote
    | Start
    | Follow
    | AdvancePlanned
    | RecordProgress
    | Stop
    | Finish
    | HandOver
    | Clean
    | Look
    | RestoreServing
    | MarkUnhealthy
    | MarkRecovered
    | MarkKept
    | Heal
    | MarkBudgetSpent
)


@dataclass(frozen=True, slots=True)
class Decision:
    """At most one action; `look_again`: seconds until the next look without a wake-up, None: only when woken.

    `durable`: nothing of this wait is in the owner's memory only, so the rows can bring it back: an owner may leave
    while it waits, if others want its place."""

    act: Act | None
    look_again: float | None = None
    durable: bool = field(default=False, compare=False)
