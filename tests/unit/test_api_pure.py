"""The small pure parts of the API."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from controlplane.api import cursors
from controlplane.api.merge_patch import merge
from controlplane.api.routers.providers import capabilities_of
from controlplane.api.strict_json import parse
from controlplane.api.waiting import wait_seconds
from controlplane.errors import Refused
from controlplane.persistence.idempotency import KeyScope
from controlplane.ports import ComputeProvider
from providers.compute.docker.provider import DockerCompute
from providers.compute.ecs.provider import EcsCompute
from providers.compute.fake import FakeCloud, FakeCompute
from providers.compute.process.provider import ProcessCompute


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # RFC 7396, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target: Any, patch: Any, result: Any) -> None:
    before = json.dumps(target)
    assert merge(target, patch) == result
    assert json.dumps(target) == before


def test_cursors() -> None:
    cursor = cursors.encode("tenants", "acme")
    assert cursors.decode(cursor, "tenants", str) == ("acme",)
    assert cursors.decode(None, "tenants", str) is None
    for foreign in (
        cursor[:-2],
        "x",
        "é",
        "====",
        cursors.encode("events", 1),
        cursors.encode("tenants", 1),
        "W10",
        "",
    ):
        with pytest.raises(Refused):
            cursors.decode(foreign, "tenants", str)
    with pytest.raises(Refused):
        cursors.decode(cursors.encode("tenants", "a\x00"), "tenants", str)
    with pytest.raises(Refused):
        cursors.decode(cursors.encode("events", 2**70), "events", int)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=5", 5),
        ("respond-async, wait=10", 10),
        ('WAIT="7"; x=1', 7),
        ("wait=9999", 60),
        ("wait=-1", 0),
        ("wait=x", 0),
        ("handling=strict", 0),
    ],
)
def test_prefer(prefer: str | None, seconds: float) -> None:
    assert wait_seconds(prefer) == seconds


def test_json_values_that_are_good() -> None:
    text = '{"a": [1, -2.5, true, null, "é \\ud83d\\ude00 \\t"], "b": 9223372036854775807}'
    assert parse(text.encode()) == json.loads(text)


def test_the_lock_of_a_key_fits_postgres() -> None:
    ids = {KeyScope(UUID(int=1), "POST", "/v1/tenants", f"k-{number}").lock_id for number in range(1000)}
    assert len(ids) == 1000
    assert all(-(2**63) <= id < 2**63 for id in ids)


@pytest.mark.parametrize(
    ("provider", "capabilities"),
    [
        (DockerCompute(), ["logs", "follow_logs", "exec", "exec_probe"]),
        (ProcessCompute(Path("/nonexistent")), ["logs", "follow_logs", "exec"]),
        (EcsCompute(), []),
        (FakeCompute(FakeCloud()), []),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_a_client_can_choose_a_provider_by(provider: ComputeProvider, capabilities: list[str]) -> None:
    assert capabilities_of(provider) == capabilities
