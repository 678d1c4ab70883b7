"""What the owner of a tenant knows beside the rows, and the settings that decide."""

from dataclasses import dataclass
from datetime import datetime

from controlplane.ports import ExecutionStatus


@dataclass(frozen=True, slots=True)
class Finding:
    """One look at the serving resource of a resting tenant, begun at `epoch` of its row."""

    epoch: int
    present: bool
    """With the labels of the serving execution, spec hash included."""
    running: bool
    healthy: bool | None
    """The verdict after thresholds; None: cannot tell yet."""
    detail: str = ""
    good: int = 1
    """Probes in a row that were good, and `bad`: that were bad."""
    bad: int = 0
    recovering: bool = False
    """Not healthy, and its platform mends that by itself: it is not healed."""


@dataclass(frozen=True, slots=True)
class Silence:
    """An engine does not answer, or is not enabled here any more."""

    since: datetime
    why: str


@dataclass(frozen=True, slots=True)
class OwnerState:
    """What the actor knows beside the rows: its children and what they last said."""

    followed: str | None = None
    """Execution id whose engine a child follows, and `reported`: what the engine last said of it."""
    reported: ExecutionStatus | None = None
    silence: Silence | None = None
    """Of that engine; None: it answers."""
    start_due: datetime | None = None
    """After a start that failed of what its engine had lost, not before this."""
    finding: Finding | None = None
    finding_due: datetime | None = None
    """When the serving resource is to be looked at next; None: at once."""
    looking: bool = False
    """A look is under way."""
    look_due: datetime | None = None
    """After a look that failed, not before this."""
    clean_due: datetime | None = None
    """After a failed clean-up, not before this."""
    restore_due: datetime | None = None
    """After starting the serving resource again, not before this; None: it ran well since."""
    heals: int = 0
    """Heals begun within the budget's window, and `degradations`: how often it became degraded within it."""
    degradations: int = 1
    worked_at: datetime | None = None
    """When this actor last had work; None: it just came."""
    draining: bool = False
    hurried: bool = False
    """Others want its place."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide. Seconds; `idle` None: never passivate."""

    idle: float | None
    deadline: float
    heal_budget: int = 5
    heal_window: float = 600.0
    fallback: str | None = None
    """The engine that is always there. A delete whose own one is silent for `engine_silence` is handed to it."""
    engine_silence: float = 300.0
