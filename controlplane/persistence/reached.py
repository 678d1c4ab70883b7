"""SQL conditions for a token's reach. They stand in the statement that reads, so no row beyond it leaves the
database."""

from sqlalchemy import ColumnElement, and_, not_, or_, select, true

from controlplane.model.reach import Reach
from controlplane.model.selector import Requirement
from controlplane.persistence import tables


def reached(reach: Reach) -> ColumnElement[bool]:
    """Condition on a row of `tenants`."""
    conditions = [labelled(requirement) for requirement in reach.selector]
    if reach.prefix:
        conditions.append(tables.tenants.c.name.startswith(reach.prefix, autoescape=True))
    return and_(true(), *conditions)


def of_reached(reach: Reach) -> ColumnElement[bool]:
    """Condition on a row of `events`: it is of a tenant within reach, by the labels that this tenant has now."""
    if reach.everything:
        return true()
    return tables.events.c.tenant_id.in_(select(tables.tenants.c.id).where(reached(reach)))


def labelled(requirement: Requirement) -> ColumnElement[bool]:
    """Condition on a row of `tenants`. Each form has the index on labels: containment for values, existence for a
    key."""
    labels = tables.tenants.c.labels
    if requirement.values:
        held = or_(*(labels.contains({requirement.key: value}) for value in requirement.values))
    else:
        held = labels.has_key(requirement.key)
    return not_(held) if requirement.negated else held
