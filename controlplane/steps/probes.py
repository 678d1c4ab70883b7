"""The count of wait_healthy: how well the new resource has been, how long, and whether it lasts. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Self

from controlplane.model import HealthSpec
from controlplane.ports import ProbeResult, Resource

FIRST_PROBE_SECONDS = 0.05
"""wait_healthy probes again after this time, and half as long again each time, up to the spec's interval. Most tenants
are up in a moment, so an early failed probe must not cost a long wait."""

CRASH_LOOP_STARTS = 3
CRASH_LOOP_SECONDS = 30.0
"""A resource that has to last and was seen started again so often is given up this long after its start period: the
platform would start it again for ever."""


@dataclass(frozen=True, slots=True)
class Probes:
    """The state of wait_healthy between two probes. Plain values, so that an engine can keep them durably."""

    attempt: int = 0
    """Number of this attempt at the step. A later attempt starts counting again, and restarts a resource that has
    exited."""
    good: int = 0
    bad: int = 0
    pause: float = FIRST_PROBE_SECONDS
    failing: str | None = None
    """The failure of the probe after its start period."""
    again: float | None = 0.0
    """Not healthy yet: seconds until the next probe. None: healthy, and the switch is done."""
    since: float | None = None
    """The time of the first of the `good` probes, in seconds since 1970."""
    launch: str = ""
    """`Resource.launch` at the last probe that saw one."""
    restarts: int = 0
    """Number of times that another launch was seen."""

    @classmethod
    def kept(cls, document: Mapping[str, Any]) -> Self:
        """What an engine has kept, whatever release wrote it."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in document.items() if name in known})

    def to_keep(self) -> dict[str, Any]:
        """JSON-ready. What an earlier release does not know is left out while it says nothing."""
        added = {"since": None, "launch": "", "restarts": 0}
        return {name: value for name, value in asdict(self).items() if name not in added or value != added[name]}

    def counted(self, resource: Resource, result: ProbeResult, now: datetime) -> Self:
        """With one more probe. A resource that was started again since the last one starts the count again."""
        again = bool(self.launch and resource.launch and resource.launch != self.launch)
        before = 0 if again else self.good
        good = before + 1 if result.healthy else 0
        failed = again or result.healthy is False  # None: cannot tell yet
        return replace(
            self,
            good=good,
            bad=self.bad + failed if failed or not result.healthy else 0,
            since=None if not good else self.since if before else now.timestamp(),
            launch=resource.launch or self.launch,
            restarts=self.restarts + again,
        )

    def left(self, health: HealthSpec, resource: Resource, now: datetime) -> float | None:
        """Seconds for which it has to stay healthy still. None: it is not healthy now, or not often enough."""
        if self.since is None or self.good < health.healthy_threshold:
            return None
        return max(0.0, health.lasting(checked=resource.checked) - (now.timestamp() - self.since))

    def loops(self, health: HealthSpec, resource: Resource, waited: float) -> bool:
        """It has to last, and is started again and again."""
        patience = health.start_period_seconds + CRASH_LOOP_SECONDS
        lasts = health.lasting(checked=resource.checked) > 0
        return lasts and self.restarts >= CRASH_LOOP_STARTS and waited > patience
