"""What a newer release has stored is read, shown and kept, and nothing in it makes this release fail."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import InvalidTransition
from controlplane.lifecycle.decisions import LeaveAlone
from controlplane.lifecycle.newer import newer
from controlplane.lifecycle.owner_state import OwnerState
from controlplane.lifecycle.reconcile import reconcile
from controlplane.lifecycle.transitions import Cause, move
from controlplane.model import (
    Action,
    ComputeSpec,
    Endpoint,
    ExecutionState,
    HealthSpec,
    Observed,
    Status,
    StopCause,
    TenantSpec,
)
from controlplane.model.tolerance import is_known, word
from controlplane.persistence import rows as stored
from tests.unit.builders import NOW, POLICY, SPEC, execution, rows, served, tenant

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class HealthOfTheNext(HealthSpec):
    grpc: dict[str, Any] | None = None


class SpecOfTheNext(TenantSpec):
    """The same spec in a later release: more fields, whose default is null, and a word more."""

    health: HealthOfTheNext = HealthOfTheNext()
    region: str | None = None
    heal: Literal["restart", "none", "replace"] = "restart"  # type: ignore[assignment]


def test_a_field_whose_default_is_null_changes_no_hash() -> None:
    later = SpecOfTheNext(compute=ComputeSpec(provider="fake", config={"image": None}))
    here = TenantSpec.stored(later.canonical())
    assert here.more == {"region": None, "health": {"grpc": None}}
    assert here.hash == later.hash == TenantSpec(compute=later.compute).hash


def test_both_releases_give_a_spec_with_new_values_one_hash() -> None:
    later = SpecOfTheNext(
        compute=ComputeSpec(provider="fake"), region="eu", health=HealthOfTheNext(grpc={"port": 1}), heal="replace"
    )
    here = TenantSpec.stored(later.canonical())
    assert (here.hash, here.canonical()) == (later.hash, later.canonical())
    assert here.unreadable == ("heal",)
    assert SpecOfTheNext.stored(here.canonical()) == later


def test_a_new_value_hides_no_unknown_field() -> None:
    document = {"compute": {"provider": "fake", "pool": 1}, "health": {"grpc": {}, "interval_seconds": 1e9}}
    here = TenantSpec.stored(document)
    assert here.unreadable == ("health",)
    assert here.health == HealthSpec()
    assert here.canonical()["health"]["interval_seconds"] == 1e9
    assert here.canonical()["health"]["grpc"] == {}
    assert here.canonical()["compute"]["pool"] == 1


@given(
    st.dictionaries(
        st.sampled_from(["compute", "health", "workflow", "heal", "region"]),
        JSON | st.fixed_dictionaries({"provider": JSON, "config": JSON, "http": JSON, "x": JSON}),
    )
)
def test_any_document_is_read_and_written_back_whole(document: dict[str, Any]) -> None:
    spec = TenantSpec.stored(document)
    again = spec.canonical()
    json.dumps(again)
    assert _holds(again, document)
    assert TenantSpec.stored(again).canonical() == again
    assert len(spec.hash) == 16


def _holds(whole: Any, part: Any) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and _holds(whole[name], item) for name, item in part.items())
    return bool(whole == part)


def test_a_word_of_another_release_is_itself_and_no_known_one() -> None:
    parked = word(Status, "parked")
    assert (str(parked), parked.value, f"{parked}", isinstance(parked, Status)) == ("parked", "parked", "parked", True)
    assert parked not in list(Status)
    assert not is_known(parked)
    assert is_known(Status.READY)
    assert word(Status, "ready") is Status.READY
    assert not word(ExecutionState, "parked").active
    assert not word(ExecutionState, "parked").terminal


def test_a_tenant_with_a_foreign_status_can_only_be_deleted() -> None:
    parked = word(Status, "parked")
    assert move(parked, Cause.DELETE_ACCEPTED) is Status.DELETING
    for cause in set(Cause) - {Cause.DELETE_ACCEPTED}:
        with pytest.raises(InvalidTransition, match="run the newer release, or delete"):
            move(parked, cause)


UNREADABLE = TenantSpec.stored({**SPEC.canonical(), "heal": "replace"})


@pytest.mark.parametrize(
    ("owner", "found", "why"),
    [
        (tenant(word(Status, "parked")), execution(ExecutionState.SUCCEEDED), "status parked"),
        (tenant(Status.UPDATING), execution(word(ExecutionState, "paused")), "state paused"),
        (tenant(), execution(action=word(Action, "migrate")), "action migrate"),
        (tenant(), execution(spec=UNREADABLE), "heal in the spec"),
        (tenant(), execution(ExecutionState.STOPPING, stop_cause=word(StopCause, "moved")), "stop cause moved"),
    ],
)
def test_what_a_newer_release_began_is_left_alone(owner: Any, found: Any, why: str) -> None:
    there = rows(owner, found)
    assert why in str(newer(there))
    assert isinstance(reconcile(there, OwnerState(), POLICY).act, LeaveAlone)


def test_what_serves_by_an_unreadable_spec_is_left_alone_and_a_delete_goes_on() -> None:
    owner, first = served(Status.READY)
    unreadable = execution(ExecutionState.SUCCEEDED, spec=UNREADABLE)
    assert newer(rows(owner, unreadable)) == f"heal in the spec of {first.id}"
    deleting, _ = served(Status.DELETING, deletion_requested_at=NOW)
    queued = execution(action=Action.DELETE, generation=2, spec=UNREADABLE)
    assert newer(rows(deleting, unreadable, queued)) is None
    assert newer(rows(owner, first)) is None


OBSERVED = {
    "endpoints": [{"name": "http", "url": "http://x", "port": 1, "zone": "a"}, {"of": "another shape"}, 3],
    "resources": {"container": "c", "sizes": [1]},
    "healthy": "mostly",
    "checked_at": "2026-01-01T12:00:00+00:00",
    "digest": "sha256:1",
}


def test_an_observation_of_a_newer_release_keeps_what_it_says_besides() -> None:
    seen = stored.observed(OBSERVED)
    assert seen.endpoints == (Endpoint("http", "http://x", 1),)
    assert (seen.resources, seen.healthy, seen.checked_at) == ({"container": "c"}, None, NOW)
    looked = Observed(endpoints=(Endpoint("http", "http://y", 1),), resources={"container": "d"}, healthy=True)
    assert stored.observed_json(looked, seen) == {
        "endpoints": [{"name": "http", "url": "http://y", "port": 1, "zone": "a"}],
        "resources": {"container": "d", "sizes": [1]},
        "healthy": True,
        "checked_at": None,
        "node": None,
        "digest": "sha256:1",
    }


@given(st.dictionaries(st.sampled_from(list(OBSERVED)), JSON))
def test_any_observation_is_read(value: dict[str, Any]) -> None:
    json.dumps(stored.observed_json(stored.observed(value), Observed()))


def test_a_condition_of_a_newer_release_is_kept_as_it_is() -> None:
    newest = {
        "type": "Billed",
        "status": "partly",
        "reason": "Late",
        "message": "",
        "since": "2026-01-01T12:00:00+00:00",
        "severity": {"level": 2},
    }
    row = {**_tenant_row(), "conditions": [newest, {}]}
    conditions = stored.tenant(row).conditions
    assert [condition.type for condition in conditions] == ["Billed", ""]
    assert [condition.since for condition in conditions] == [NOW, datetime.min.replace(tzinfo=UTC)]
    assert stored.conditions_json(conditions)[0] == newest


def _tenant_row() -> dict[str, Any]:
    row = {name: value for name, value in asdict(tenant()).items() if name not in ("spec", "newest_execution")}
    return {**row, "spec": SPEC.canonical(), "current_execution": "x", "observed": {}}
