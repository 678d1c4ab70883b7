"""The tables. Timestamps are the database's own; JSON is jsonb; states are text, and the model checks them. A column
with a `key` has an older name in the database than in the code."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from controlplane.persistence.columns import Message, Text

metadata = MetaData()

ACTIVE_STATES = "state IN ('starting', 'running', 'stopping')"


def _timestamp(name: str, *, default: bool = False) -> Column[object]:
    if default:
        return Column(name, DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp())
    return Column(name, DateTime(timezone=True))


installation = Table(
    "installation",
    metadata,
    Column("singleton", Boolean, primary_key=True, server_default=text("true")),
    Column("id", UUID, nullable=False),
    Column("rows_written", Integer, nullable=False, server_default="1"),
    Column("rows_readable_by", Integer, nullable=False, server_default="1"),
    Column("events_kept_seconds", Double, nullable=False, server_default="0"),  # see `running_role`
    _timestamp("created_at", default=True),
)

clusters = Table(
    "clusters",
    metadata,
    Column("id", Text, primary_key=True),
    Column("home", Text, nullable=False),
    Column("build", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="active"),
    _timestamp("started_at", default=True),
    _timestamp("heartbeat_at", default=True),
    _timestamp("ended_at"),
    Column("figures", JSONB, nullable=False, server_default=text("'{}'")),  # of its supervisor, see `gauges`
    Column("head", JSONB),  # where other machines join it, see `clusters.Head`; null: none can
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("labels", JSONB, nullable=False, server_default=text("'{}'")),
    Column("annotations", JSONB, nullable=False, server_default=text("'{}'")),
    Column("spec", JSONB, nullable=False),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("observed_generation", Integer, nullable=False, server_default="0"),
    Column("status", Text, nullable=False),
    Column("status_message", Message, nullable=False, server_default=""),
    Column("conditions", JSONB, nullable=False, server_default=text("'[]'")),
    Column("observed", JSONB, nullable=False, server_default=text("'{}'")),
    Column("current_execution", Text, key="newest_execution", nullable=False),
    Column("serving_execution", Text),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("paused", Boolean, nullable=False, server_default=text("false")),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("lease_owner", Text),
    _timestamp("lease_expires_at"),
    _timestamp("wake_at"),
    _timestamp("created_at", default=True),
    _timestamp("updated_at", default=True),
    _timestamp("deletion_requested_at"),
    _timestamp("deleted_at"),
    Column("departures", Integer, nullable=False, server_default="0"),
    Column("failing_at", Text),
    Column("created_by", UUID),  # id of the token
    Index("tenants_name_live", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
    Index("tenants_name_all", "name", "created_at"),
    Index("tenants_status", "status", "name", postgresql_where=text("deleted_at IS NULL")),
    Index("tenants_failing", "id", postgresql_where=text("departures > 0")),
    Index("tenants_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    Index("tenants_labels", "labels", postgresql_using="gin"),
    Index("tenants_leased", "lease_owner", postgresql_where=text("lease_owner IS NOT NULL")),
    Index("tenants_serving", "serving_execution", postgresql_where=text("serving_execution IS NOT NULL")),
)

tenant_counts = Table(
    "tenant_counts",
    metadata,
    Column("scope", Text, primary_key=True),  # all | id of a token
    Column("live", BigInteger, nullable=False),  # by triggers, see `quotas`
)

totals = Table(
    "totals",
    metadata,
    Column("name", Text, primary_key=True),
    Column("labels", JSONB, primary_key=True),
    Column("part", Text, primary_key=True),  # of a histogram: a bucket's upper bound, or the sum
    Column("total", Double, nullable=False),
)

executions = Table(
    "executions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant_id", UUID, ForeignKey("tenants.id"), nullable=False),
    Column("tenant_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("run", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("sub_state", Text),
    Column("provider", Text, key="engine", nullable=False),
    Column("provider_ref", Text),
    Column("input", JSONB, nullable=False),
    Column("spec", JSONB, nullable=False),
    Column("spec_hash", Text, nullable=False),
    Column("trigger_source", Text, nullable=False),
    Column("retry_count", Integer, nullable=False, server_default="0"),
    Column("error", Message),
    _timestamp("next_attempt_at"),
    Column("superseded_by", Text),
    _timestamp("cancel_requested_at"),
    Column("stop_cause", Text),
    Column("stop_reason", Message),
    _timestamp("stop_requested_at"),
    Column("activations", Integer, nullable=False, server_default="0"),
    Column("fresh", Boolean, nullable=False, server_default="false"),
    _timestamp("drains_until"),
    Column("traceparent", Text),
    Column("in_place", Boolean, nullable=False, server_default="false"),
    Column("request_id", Text),
    Column("node", Text),  # see `nodes`
    _timestamp("created_at", default=True),
    _timestamp("started_at"),
    _timestamp("ended_at"),
    UniqueConstraint("tenant_id", "generation", "run", name="executions_run"),
    Index("executions_age", "tenant_id", "created_at"),
    Index("executions_one_active", "tenant_id", unique=True, postgresql_where=text(ACTIVE_STATES)),
    Index("executions_one_queued", "tenant_id", unique=True, postgresql_where=text("state = 'queued'")),
    Index("executions_unfinished", "state", postgresql_where=text(f"state = 'queued' OR {ACTIVE_STATES}")),
)

steps = Table(
    "steps",
    metadata,
    Column("execution_id", Text, ForeignKey("executions.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Message),
    _timestamp("next_attempt_at"),
    _timestamp("started_at"),
    _timestamp("ended_at"),
    Column("waits", Integer, nullable=False, server_default="0"),
    Column("waits_for", Text),
    Column("in_call_to", Text),
    _timestamp("in_call_since"),
)

placements = Table(
    "placements",
    metadata,
    Column("execution_id", Text, ForeignKey("executions.id"), primary_key=True),
    Column("tenant_id", UUID, ForeignKey("tenants.id"), nullable=False),
    Column("provider", Text, key="platform", nullable=False),
    Column("engine_identity", Text, key="platform_identity", nullable=False),
    Column("generation", Integer, nullable=False),
    Column("run", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("resource_id", Text),
    Column("state", Text, nullable=False),
    _timestamp("created_at", default=True),
    _timestamp("removed_at"),
    Column("node", Text),
    Index("placements_tenant", "tenant_id", "platform", "generation", "run"),
    Index("placements_live", "tenant_id", postgresql_where=text("state IN ('intended', 'placed')")),
    Index("placements_held", "execution_id", postgresql_where=text("state IN ('intended', 'placed')")),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("type", Text, nullable=False),
    Column("tenant_id", UUID),
    Column("tenant_name", Text),
    Column("generation", Integer),
    Column("status", Text),
    Column("execution_id", Text),
    Column("trigger_source", Text),
    Column("actor", Text),
    Column("token_id", UUID),
    Column("request_id", Text),
    Column("message", Message, nullable=False, server_default=""),
    Column("data", JSONB, nullable=False, server_default=text("'{}'")),
    _timestamp("at", default=True),
    Column("hash", Text),  # by a trigger, see `chain`
    Index("events_tenant", "tenant_id", "id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),  # admin | operator | viewer
    Column("hash", Text, nullable=False, unique=True),  # see `tokens.stored_hash`
    Column("name_prefix", Text, nullable=False, server_default=""),
    Column("selector", Text, nullable=False, server_default=""),
    _timestamp("last_used_at"),
    _timestamp("created_at", default=True),
    _timestamp("expires_at"),
    _timestamp("revoked_at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("token_id", UUID, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("execution_id", Text),
    _timestamp("created_at", default=True),
    Index("idempotency_keys_age", "created_at"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cluster_id", Text, nullable=False),  # the last one that saw it
    Column("address", Text, nullable=False),
    Column("head", Boolean, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("platforms", JSONB, nullable=False),  # provider → identity
    Column("cpus", Double, nullable=False),
    Column("alive", Boolean, nullable=False),
    _timestamp("since", default=True),  # it is alive, or is not, since then
    Column("drain", Text),  # a NodeDrain
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cluster_id", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    _timestamp("at", default=True),
)

pauses = Table(
    "freezes",
    metadata,
    Column("scope", Text, primary_key=True),  # all | provider:<name>, of compute or workflow
    _timestamp("at", default=True),
)


def prefixed(table: Table, prefix: str, **instead: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """The table's columns for a SELECT that joins several tables; `rows.part` takes them out of a row again.
    `instead`: expressions in the place of columns."""
    return [instead.get(column.name, column).label(f"{prefix}{column.name}") for column in table.c]
