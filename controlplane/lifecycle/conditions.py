"""Conditions: they give the reasons for the status. Pure."""

from datetime import datetime

from controlplane.model import Condition, ConditionType, Reason, Truth


def with_condition(
    conditions: tuple[Condition, ...],
    type: ConditionType,
    status: Truth,
    reason: Reason,
    now: datetime,
    message: str = "",
) -> tuple[Condition, ...]:
    """The list with this condition set. `since` moves only when the status does."""
    before = next((c for c in conditions if c.type == type), None)
    since = before.since if before is not None and before.status == status else now
    new = Condition(type=type, status=status, reason=reason, message=message, since=since)
    if before is None:
        return (*conditions, new)
    return tuple(new if c.type == type else c for c in conditions)


def without_condition(conditions: tuple[Condition, ...], type: ConditionType) -> tuple[Condition, ...]:
    """The list without this condition."""
    return tuple(c for c in conditions if c.type != type)
