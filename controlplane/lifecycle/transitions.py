"""The status of a tenant as a table: (status, cause) → next status. Pure; printed in `docs/lifecycle.md`.

A status changes nowhere else, and only in the transaction of its cause.
"""

from collections.abc import Mapping
from enum import StrEnum

from controlplane.errors import InvalidTransition
from controlplane.model import Action, Status
from controlplane.model.tolerance import is_known


class Cause(StrEnum):
    """The causes that may move a status."""

    SPEC_ACCEPTED = "spec accepted"
    REDEPLOY_ACCEPTED = "redeploy accepted"
    """Or a restart."""
    RETRY_ACCEPTED = "retry accepted"
    DELETE_ACCEPTED = "delete accepted"
    PROVISION_STARTED = "provision started"
    UPDATE_STARTED = "update started"
    DELETE_STARTED = "delete started"
    PLANNED = "planned"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNHEALTHY = "unhealthy"
    RECOVERED = "recovered"
    KEPT = "kept"
    """The serving resource is well again, but it is not the newest generation's."""
    GONE = "gone"


STARTED: Mapping[Action, Cause] = {
    Action.PROVISION: Cause.PROVISION_STARTED,
    Action.UPDATE: Cause.UPDATE_STARTED,
    Action.DELETE: Cause.DELETE_STARTED,
}

_WORKING = (Status.REQUESTED, Status.PLANNING, Status.PROVISIONING, Status.UPDATING)
_RESTING = (Status.READY, Status.DEGRADED, Status.FAILED)
_RUNS = (Cause.SPEC_ACCEPTED, Cause.REDEPLOY_ACCEPTED)

TABLE: Mapping[tuple[Status, Cause], Status] = {
    # An intent that arrives during work leaves the status: its execution waits, and the work goes on.
    **{(status, cause): status for status in _WORKING for cause in _RUNS},
    **{(status, cause): Status.UPDATING for status in _RESTING for cause in _RUNS},
    # Degraded: the serving resource is being healed, and the newest generation failed before that.
    **{(status, Cause.RETRY_ACCEPTED): Status.UPDATING for status in (Status.FAILED, Status.DEGRADED)},
    **{(status, Cause.DELETE_ACCEPTED): Status.DELETING for status in Status if status is not Status.DELETED},
    # Until the first success each execution is a provision, even if a PATCH of a failed tenant asked for it.
    **{(status, Cause.PROVISION_STARTED): Status.PLANNING for status in _WORKING},
    **{(status, Cause.UPDATE_STARTED): Status.UPDATING for status in (*_WORKING, *_RESTING)},
    (Status.DELETING, Cause.DELETE_STARTED): Status.DELETING,
    (Status.PLANNING, Cause.PLANNED): Status.PROVISIONING,
    **{(status, Cause.SUCCEEDED): Status.READY for status in (Status.PLANNING, Status.PROVISIONING, Status.UPDATING)},
    # If a heal is cancelled while it is queued, a degraded tenant ends as failed.
    **{(status, Cause.FAILED): Status.FAILED for status in (*_WORKING, Status.DEGRADED)},
    **{(status, Cause.UNHEALTHY): Status.DEGRADED for status in _RESTING},
    **{(status, Cause.RECOVERED): Status.READY for status in (Status.DEGRADED, Status.FAILED)},
    (Status.DEGRADED, Cause.KEPT): Status.FAILED,
    (Status.DELETING, Cause.GONE): Status.DELETED,
}


def move(status: Status, cause: Cause) -> Status:
    """The next status. Raises InvalidTransition if the table has no entry. A tenant whose status only a newer release
    knows can be deleted, and nothing else."""
    if not is_known(status):
        if cause is Cause.DELETE_ACCEPTED:
            return Status.DELETING
        raise InvalidTransition(
            f"a newer release made the tenant {status}, which this one does not know: run the newer "
            "release, or delete the tenant",
            status=status.value,
        )
    try:
        return TABLE[status, cause]
    except KeyError:
        raise InvalidTransition(f"a tenant that is {status} cannot move by {cause!r}", status=status.value) from None


def as_markdown() -> str:
    """The full (status × cause) table; `·` means refused."""
    causes = list(Cause)
    lines = ["| status | " + " | ".join(causes) + " |", "|---" * (len(causes) + 1) + "|"]
    for status in Status:
        cells = [TABLE.get((status, cause)) for cause in causes]
        lines.append(f"| **{status}** | " + " | ".join(cell.value if cell else "·" for cell in cells) + " |")
    return "\n".join(lines) + "\n"
