"""The owner's knowledge besides the rows, and the settings that decide."""

from dataclasses import dataclass
from datetime import datetime

from controlplane.ports import ExecutionStatus


@dataclass(frozen=True, slots=True)
class Finding:
    """One look at the serving resource of a resting tenant, begun at `epoch` of its row."""

    epoch: int
    present: bool
    """A resource exists with the labels of the serving execution, spec hash included."""
    running: bool
    healthy: bool | None
    """The verdict after thresholds; None: cannot tell yet."""
    detail: str = ""
    good: int = 1
    """Number of good probes in a row; `bad` counts the bad ones."""
    bad: int = 0
    recovering: bool = False
    """Not healthy, but its platform mends that by itself: it is not healed."""


@dataclass(frozen=True, slots=True)
class Silence:
    """An engine does not answer, or is no longer enabled here."""

    since: datetime
    why: str


@dataclass(frozen=True, slots=True)
class OwnerState:
    """The actor's knowledge besides the rows: its children, and their last reports."""

    followed: str | None = None
    """Id of the execution that a child follows; `reported` is the engine's last report on it."""
    reported: ExecutionStatus | None = None
    silence: Silence | None = None
    """The silence of that engine. None: it answers."""
    start_due: datetime | None = None
    """Earliest time of the next start, after one that failed because its engine had lost the execution."""
    finding: Finding | None = None
    finding_due: datetime | None = None
    """Time of the next look at the serving resource. None: at once."""
    looking: bool = False
    """A look is under way."""
    look_due: datetime | None = None
    """Earliest time of the next look, after one that failed."""
    clean_due: datetime | None = None
    """Earliest time of the next clean-up, after one that failed."""
    restore_due: datetime | None = None
    """Earliest time of the next restore, after the serving resource was started again. None: it ran well since."""
    heals: int = 0
    """Number of heals begun within the budget's window; `degradations` counts how often the tenant became degraded
    within it."""
    degradations: int = 1
    worked_at: datetime | None = None
    """Time at which this actor last had work. None: it has just started."""
    draining: bool = False
    hurried: bool = False
    """Other tenants want its place."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide, in seconds. `idle` None: never passivate."""

    idle: float | None
    deadline: float
    heal_budget: int = 5
    heal_window: float = 600.0
    fallback: str | None = None
    """The engine that is always available. If a delete's own engine is silent for `engine_silence`, this one takes
    over."""
    engine_silence: float = 300.0
    node: str | None = None
    """The node that the owner runs on. None: there is one machine, or nobody has said."""
    node_grace: float | None = 300.0
    """After so long a node that does not answer counts as lost for good. None: never."""
