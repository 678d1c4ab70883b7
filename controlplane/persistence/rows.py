"""Rows of the tables as the model's values, and back. A row is read whatever release wrote it: unknown words and fields
are kept, and nothing here raises because of them. What this release writes itself is exact."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from controlplane.model import (
    Action,
    Condition,
    Endpoint,
    Event,
    Execution,
    ExecutionState,
    Node,
    NodeDrain,
    Observed,
    Pause,
    Placement,
    PlacementState,
    Status,
    Step,
    StepName,
    StepState,
    StopCause,
    SubState,
    Tenant,
    TenantSpec,
    TriggerSource,
)
from controlplane.model.tolerance import beyond, overlay, word
from controlplane.text import clean

Row = Mapping[Any, Any]
"""Columns by their name in the database, which for some differs from their key in `tables`."""

_OBSERVED = dict.fromkeys(("endpoints", "resources", "healthy", "checked_at", "node"))
_ENDPOINT = dict.fromkeys(("name", "url", "port"))
_CONDITION = dict.fromkeys(("type", "status", "reason", "message", "since"))
"""The members that this release knows."""


def part(row: Row, prefix: str) -> Row:
    """The columns that `tables.prefixed` named."""
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}


def tenant(row: Row, spec: TenantSpec | None = None) -> Tenant:
    """`spec`: as the row has it, for whoever has read it already."""
    return Tenant(
        id=row["id"],
        name=row["name"],
        labels=row["labels"],
        annotations=row["annotations"],
        spec=spec or TenantSpec.stored(row["spec"]),
        generation=row["generation"],
        observed_generation=row["observed_generation"],
        status=word(Status, row["status"]),
        status_message=row["status_message"],
        conditions=tuple(_condition(item) for item in row["conditions"]),
        observed=observed(row["observed"]),
        newest_execution=row["current_execution"],
        serving_execution=row["serving_execution"],
        version=row["version"],
        paused=row.get("is_paused", row["paused"]),
        epoch=row["epoch"],
        fence=row["fence"],
        lease_owner=row["lease_owner"],
        lease_expires_at=row["lease_expires_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        deletion_requested_at=row["deletion_requested_at"],
        deleted_at=row["deleted_at"],
        departures=row["departures"],
        failing_at=row["failing_at"],
        pause=Pause(row["paused_by"], row["paused_since"]) if row.get("paused_by") else None,
    )


def execution(row: Row) -> Execution:
    return Execution(
        id=row["id"],
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        action=word(Action, row["action"]),
        generation=row["generation"],
        run=row["run"],
        state=word(ExecutionState, row["state"]),
        sub_state=word(SubState, row["sub_state"]) if row["sub_state"] else None,
        engine=row["provider"],
        provider_ref=row["provider_ref"],
        spec=TenantSpec.stored(row["spec"]),
        trigger_source=word(TriggerSource, row["trigger_source"]),
        retry_count=row["retry_count"],
        error=row["error"],
        created_at=row["created_at"],
        next_attempt_at=row["next_attempt_at"],
        superseded_by=row["superseded_by"],
        cancel_requested_at=row["cancel_requested_at"],
        stop_cause=word(StopCause, row["stop_cause"]) if row["stop_cause"] else None,
        stop_reason=row["stop_reason"],
        stop_requested_at=row["stop_requested_at"],
        activations=row["activations"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        fresh=row["fresh"],
        drains_until=row["drains_until"],
        traceparent=row["traceparent"],
        in_place=row["in_place"],
        request_id=row["request_id"],
        node=row["node"],
    )


def step(row: Row) -> Step:
    return Step(
        execution_id=row["execution_id"],
        name=word(StepName, row["name"]),
        state=word(StepState, row["state"]),
        attempts=row["attempts"],
        error=row["error"],
        next_attempt_at=row["next_attempt_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        waits=row["waits"],
        waits_for=row["waits_for"],
        in_call_to=row["in_call_to"],
        in_call_since=row["in_call_since"],
    )


def steps(value: Sequence[Row] | None) -> tuple[Step, ...]:
    """Rows of `steps` that came as JSON."""
    return tuple(step({**row, **{name: _time(row[name]) for name in _TIMES_OF_STEP}}) for row in value or ())


_TIMES_OF_STEP = ("next_attempt_at", "started_at", "ended_at", "in_call_since")


def placement(row: Row) -> Placement:
    return Placement(
        execution_id=row["execution_id"],
        tenant_id=row["tenant_id"],
        platform=row["provider"],
        platform_identity=row["engine_identity"],
        generation=row["generation"],
        run=row["run"],
        name=row["name"],
        resource_id=row["resource_id"],
        state=word(PlacementState, row["state"]),
        created_at=row["created_at"],
        node=row["node"],
    )


def node(row: Row) -> Node:
    """Of the table, or of JSON."""
    since = row["since"]
    return Node(
        name=row["name"],
        address=row["address"],
        head=row["head"],
        alive=row["alive"],
        since=since if isinstance(since, datetime) else datetime.fromisoformat(since),
        labels=row["labels"],
        platforms=row["platforms"],
        cpus=row["cpus"],
        cluster_id=row["cluster_id"],
        drain=None if row["drain"] is None else word(NodeDrain, row["drain"]),
    )


def nodes(value: Sequence[Row] | None) -> tuple[Node, ...]:
    """Rows of `nodes` that came as JSON."""
    return tuple(node(row) for row in value or ())


def event(row: Row) -> Event:
    return Event(**row)


def observed(value: Mapping[str, Any]) -> Observed:
    resources, healthy = value.get("resources"), value.get("healthy")
    node = value.get("node")
    known = (
        {name: item for name, item in resources.items() if isinstance(item, str)}
        if isinstance(resources, Mapping)
        else {}
    )
    return Observed(
        endpoints=endpoints(value.get("endpoints")),
        resources=known,
        healthy=healthy if isinstance(healthy, bool) else None,
        checked_at=_time(value.get("checked_at")),
        node=node if isinstance(node, str) else None,
        more=beyond(value, {**_OBSERVED, "resources": known}),
    )


def endpoints(items: Any) -> tuple[Endpoint, ...]:
    """Those of `observed`."""
    found = (_endpoint(item) for item in items) if isinstance(items, list) else ()
    return tuple(endpoint for endpoint in found if endpoint is not None)


def observed_json(value: Observed, before: Observed) -> dict[str, Any]:
    """For the row. `before`: as the row holds it, maybe with more than this release knows."""
    named = {endpoint.name: endpoint.more for endpoint in before.endpoints}
    document = overlay(_observed_json(value), {**before.more, **value.more})
    document["endpoints"] = [
        {**named.get(endpoint.name, {}), **endpoint.more, **_endpoint_json(endpoint)} for endpoint in value.endpoints
    ]
    return document


def _observed_json(value: Observed) -> dict[str, Any]:
    return {
        "endpoints": [_endpoint_json(endpoint) for endpoint in value.endpoints],
        "resources": dict(value.resources),
        "healthy": value.healthy,
        "checked_at": value.checked_at.isoformat() if value.checked_at else None,
        "node": value.node,
    }


def _endpoint(value: Any) -> Endpoint | None:
    """None: nothing that a client could call."""
    if not isinstance(value, Mapping) or not isinstance(value.get("url"), str):
        return None
    name, port = value.get("name"), value.get("port")
    return Endpoint(str(name or ""), value["url"], port if isinstance(port, int) else 0, more=beyond(value, _ENDPOINT))


def _endpoint_json(value: Endpoint) -> dict[str, Any]:
    return {"name": value.name, "url": value.url, "port": value.port}


def _condition(value: Mapping[str, Any]) -> Condition:
    return Condition(
        type=str(value.get("type", "")),
        status=value.get("status", "unknown"),
        reason=str(value.get("reason", "")),
        message=str(value.get("message", "")),
        since=_time(value.get("since")) or datetime.min.replace(tzinfo=UTC),
        more=beyond(value, _CONDITION),
    )


def conditions_json(values: tuple[Condition, ...]) -> list[dict[str, Any]]:
    return [overlay(_condition_json(value), value.more) for value in values]


def _condition_json(value: Condition) -> dict[str, Any]:
    return {
        "type": value.type,
        "status": value.status,
        "reason": value.reason,
        "message": clean(value.message),
        "since": value.since.isoformat(),
    }


def _time(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
