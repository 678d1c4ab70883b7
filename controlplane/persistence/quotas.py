"""How many tenants there may be: in all, and of the token that creates them.

A trigger counts live tenants (see the migration). The transaction that creates one holds the count until it ends, so
no two of them see the same number."""

from dataclasses import dataclass

from sqlalchemy import Text, bindparam, or_, select

from controlplane.errors import Refused
from controlplane.persistence import tables
from controlplane.persistence.prepared import Prepared
from controlplane.persistence.transaction import Transaction

ALL = "all"
_COUNTS = Prepared(
    select(tables.tenant_counts.c.scope, tables.tenant_counts.c.live).where(
        or_(tables.tenant_counts.c.scope == ALL, tables.tenant_counts.c.scope == bindparam("token", type_=Text))
    )
)


@dataclass(frozen=True, slots=True)
class Quota:
    """The number of live tenants in all, and of one token; None: no limit."""

    tenants: int | None = None
    tenants_of_token: int | None = None


async def require(tx: Transaction, quota: Quota) -> None:
    """Called after the row of a new tenant was inserted. Raises Refused quota_exceeded (403)."""
    of_token = str(tx.token_id)
    live = {row["scope"]: row["live"] for row in await _COUNTS.all(tx.connection, token=of_token)}
    for scope, most, whose, setting in (
        (ALL, quota.tenants, "this installation", "LANDLORD_MAX_TENANTS"),
        (of_token, quota.tenants_of_token, "this token", "LANDLORD_MAX_TENANTS_PER_TOKEN"),
    ):
        if most is not None and live.get(scope, 0) > most:
            raise Refused(
                f"{whose} has {most} tenants, as many as {setting} allows; delete one, or have the setting raised",
                code="quota_exceeded",
                status=403,
            )
