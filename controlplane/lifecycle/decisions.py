"""The decisions that the owner of a tenant can take: one class each. `reconcile` chooses, `actors/tenant/runner.py`
acts."""

from dataclasses import dataclass, field

from controlplane.model import Execution, ExecutionState, Placement, Step, StopCause
from controlplane.ports import ExecutionStatus


@dataclass(frozen=True, slots=True)
class Leave:
    """The tenant is deleted: exit."""


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """Only a newer release can act on these rows: say so, give the lease back and exit. `why`: what they say."""

    why: str


@dataclass(frozen=True, slots=True)
class Passivate:
    """There is nothing to do for a while: give the lease back and exit. `wake_in`: seconds until the tenant is due
    again; None: only when a client wants something of it."""

    wake_in: float | None = None


@dataclass(frozen=True, slots=True)
class Promote:
    execution: Execution


@dataclass(frozen=True, slots=True)
class Start:
    """Call the engine's start (idempotent), then follow the execution."""

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
class TellWait:
    """Say for what this step of the active execution waits. None: nothing is waited for any more."""

    execution: Execution
    step: Step | None


@dataclass(frozen=True, slots=True)
class TellLost:
    """Say that this unfinished execution waits for a machine that does not answer."""

    execution: Execution
    message: str


@dataclass(frozen=True, slots=True)
class PlaceAgain:
    """Choose this node for a queued execution, instead of one that is lost."""

    execution: Execution
    node: str


@dataclass(frozen=True, slots=True)
class RunElsewhere:
    """Queue the next run of an execution that is under way on a lost node; the present one is stopped then."""

    execution: Execution
    reason: str
    without: tuple[str, ...]
    """Nodes that are lost."""


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
    """The engine of a delete is gone: end this run as failed. The next run belongs to `engine`."""

    execution: Execution
    engine: str
    message: str


@dataclass(frozen=True, slots=True)
class Clean:
    """Remove the resources of executions that ended without serving."""

    placements: tuple[Placement, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """Observe and probe the serving resource."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class RestoreServing:
    """The serving resource exists but does not run: start it again."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class MarkUnhealthy:
    message: str


@dataclass(frozen=True, slots=True)
class MarkLost:
    """The machine that has the serving resource does not answer."""

    message: str


@dataclass(frozen=True, slots=True)
class MarkRecovered:
    """The newest generation serves and is well again."""


@dataclass(frozen=True, slots=True)
class MarkKept:
    """An older generation serves and is well again. `message`: why the newest does not serve."""

    message: str


@dataclass(frozen=True, slots=True)
class Heal:
    """Make the serving execution's resource again, from its own snapshot."""

    serving: Execution
    reason: str
    without: tuple[str, ...] = ()
    """Nodes that are lost."""


@dataclass(frozen=True, slots=True)
class MarkBudgetSpent:
    """The tenant was healed too often: it stays degraded until the budget's window has moved on."""

    message: str


Act = (
    Leave
    | LeaveAlone
    | Passivate
    | Promote
    | Start
    | Follow
    | AdvancePlanned
    | RecordProgress
    | TellWait
    | TellLost
    | PlaceAgain
    | RunElsewhere
    | Stop
    | Finish
    | HandOver
    | Clean
    | Look
    | RestoreServing
    | MarkUnhealthy
    | MarkLost
    | MarkRecovered
    | MarkKept
    | Heal
    | MarkBudgetSpent
)


@dataclass(frozen=True, slots=True)
class Decision:
    """At most one action. `look_again`: seconds until the next look without a wake-up; None: only when woken.
    `durable`: no part of this wait is only in the owner's memory, so the rows can bring it back. Then an owner may
    leave while it waits, if other tenants want its place."""

    act: Act | None
    look_again: float | None = None
    durable: bool = field(default=False, compare=False)
