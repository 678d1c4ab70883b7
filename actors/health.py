"""Health with thresholds: single probes in, a verdict out."""

from controlplane.model import Execution, HealthSpec
from controlplane.ports import ProbeResult, Resource, ResourceState
from controlplane.reconcile import Finding


class HealthTracker:
    """Counts probes of one serving execution in a row; another serving execution starts from nothing."""

    def __init__(self) -> None:
        self._execution: str | None = None
        self._good = 0
        self._bad = 0

    def judge(self, execution: Execution, epoch: int, resource: Resource | None, result: ProbeResult) -> Finding:
        """The finding of one look, begun at `epoch`."""
        if self._execution != execution.id:
            self._execution, self._good, self._bad = execution.id, 0, 0
        if result.healthy is True:
            self._good, self._bad = self._good + 1, 0
        elif result.healthy is False:
            self._good, self._bad = 0, self._bad + 1
        return Finding(
            epoch=epoch,
            present=resource is not None,
            running=resource is not None and resource.state is not ResourceState.STOPPED,
            matches=True,
            healthy=self._verdict(execution.spec.health),
            detail=result.detail,
            good=self._good,
        )

    def _verdict(self, health: HealthSpec) -> bool | None:
        if self._good >= health.healthy_threshold:
            return True
        if self._bad >= health.unhealthy_threshold:
            return False
        return None
