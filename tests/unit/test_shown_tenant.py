"""A tenant's JSON is written without the model that describes it; it is still what the model says, to the letter."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.api.schemas.tenant import TenantOut, TenantPage, shown, shown_page, shown_view
from controlplane.model import (
    Action,
    Condition,
    Endpoint,
    Execution,
    ExecutionState,
    HealthSpec,
    HttpProbe,
    Observed,
    Status,
    SubState,
    Tenant,
    TenantSpec,
)
from controlplane.model.rows import Pause
from controlplane.persistence.tenants import SHORT_SPEC, ExecutionLine, TenantView
from tests.unit.builders import NOW, execution, tenant

LIVE = NOW + timedelta(days=365_000)
SPEC = TenantSpec.model_validate(
    {
        "compute": {"provider": "docker", "config": {"image": "web:1", "env": {"DB_PASSWORD": "hunter2", "N": 1.5}}},
        "health": HealthSpec(http=HttpProbe(port=80), interval_seconds=0.5).model_dump(exclude_none=True),
        "workflow": {"provider": "embedded"},
    }
)
FULL = replace(
    tenant(Status.DEGRADED, spec=SPEC, labels={"tier": "gold"}, annotations={"note": "ü\u2028"}),
    conditions=(Condition("Healthy", "false", "ProbeFailed", "no answer", NOW),),
    observed=Observed((Endpoint("http", "http://127.0.0.1:1", 80),), {"container": "1"}, True, NOW),
    lease_expires_at=LIVE,
    pause=Pause("provider:docker", NOW),
)


def running(**values: object) -> Execution:
    return replace(execution(ExecutionState.RUNNING, sub_state=SubState.BACKING_OFF), **values)  # type: ignore[arg-type]


LINE = ExecutionLine(**{name: getattr(running(), name) for name in ExecutionLine.__dataclass_fields__})
"""The same, without its spec."""


@pytest.mark.parametrize(
    ("shown_tenant", "shown_execution"),
    [
        (tenant(), execution()),
        (FULL, running(error="boom", next_attempt_at=NOW + timedelta(milliseconds=1), retry_count=3)),
        (tenant(Status.DELETED, deleted_at=NOW, paused=True), execution(ExecutionState.SUCCEEDED, Action.DELETE)),
    ],
    ids=["new", "full", "deleted"],
)
def test_it_is_what_the_model_writes(shown_tenant: Tenant, shown_execution: Execution) -> None:
    text = shown(shown_tenant, shown_execution, 30.0)
    assert TenantOut.model_validate_json(text).model_dump_json().encode() == text
    assert b"hunter2" not in text


def test_a_page_is_what_the_model_writes() -> None:
    text = shown_page([TenantView(FULL, LINE, json.dumps(SPEC.canonical()))], "next", 30.0)
    assert TenantPage.model_validate_json(text).model_dump_json().encode() == text
    assert shown(FULL, running(), 30.0) in text


def test_long_specs_are_shown_as_short_ones_are() -> None:
    """Only short ones are kept."""
    config = {"image": "web:1", "env": {"DB_PASSWORD": "hunter2", "NOTE": "x" * SHORT_SPEC}}
    compute = SPEC.compute.model_copy(update={"config": config})
    long = replace(FULL, spec=SPEC.model_copy(update={"compute": compute}))
    for one in (FULL, long):
        view = TenantView(one, LINE, json.dumps(one.spec.canonical()))
        assert shown_view(view, 30.0) == shown_view(view, 30.0) == shown(one, running(), 30.0)
