"""Bounds on what clients send: each names its place and its number, and none keeps an older row from being read."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from controlplane.api import masking
from controlplane.api.failures import MAX_ERRORS, invalid_body
from controlplane.api.schemas.requests import TenantCreate
from controlplane.api.strict_json import MAX_ITEMS, MAX_NAME, MAX_TEXT, MAX_VALUES, parse
from controlplane.errors import Refused
from controlplane.model import BOUND, SENT, HealthSpec
from providers.compute.docker.config import DockerConfig
from providers.compute.fake import FakeConfig
from providers.compute.process.config import ProcessConfig

IMAGE = {"image": "web:1"}
RUN = {"command": ["web"]}


@pytest.mark.parametrize(
    ("model", "value", "loc", "bound"),
    [
        (HealthSpec, {"interval_seconds": 0.49}, "interval_seconds", "0.5 at least"),
        (HealthSpec, {"interval_seconds": 1e-9}, "interval_seconds", "0.5 at least"),
        (HealthSpec, {"timeout_seconds": 0.05}, "timeout_seconds", "0.1 at least"),
        (HealthSpec, {"deadline_seconds": 0.5}, "deadline_seconds", "1 at least"),
        (HealthSpec, {"exec": {"command": ["a" * 4097]}}, "exec.command.0", "4096"),
        (DockerConfig, {**IMAGE, "command": "a" * 8193}, "command", "8192"),
        (DockerConfig, {**IMAGE, "command": ["a"] * 513}, "command", "512"),
        (DockerConfig, {**IMAGE, "env": {f"A{i}": "" for i in range(513)}}, "env", "512"),
        (DockerConfig, {**IMAGE, "env": {"A" * 257: ""}}, f"env.{'A' * 257}.[key]", "256"),
        (DockerConfig, {**IMAGE, "resources": {"cpu_millis": 10**6 + 1}}, "resources.cpu_millis", "1000000 at most"),
        (DockerConfig, {**IMAGE, "resources": {"memory_mib": 2**24 + 1}}, "resources.memory_mib", "16777216 at most"),
        (ProcessConfig, {"command": ["a"] * 513}, "command", "512"),
        (ProcessConfig, {**RUN, "env": {f"A{i}": "" for i in range(513)}}, "env", "512"),
        (ProcessConfig, {**RUN, "env": {"A" * 257: ""}}, f"env.{'A' * 257}.[key]", "256"),
        (ProcessConfig, {**RUN, "workdir": "/" + "a" * 4096}, "workdir", "4096"),
        (FakeConfig, {"version": "1" * 257}, "version", "256"),
        (FakeConfig, {"env": {f"A{i}": "" for i in range(513)}}, "env", "512"),
        (FakeConfig, {"env": {"A" * 257: ""}}, f"env.{'A' * 257}.[key]", "256"),
        (FakeConfig, {"health": ["healthy"] * 513}, "health", "512"),
        (FakeConfig, {"refuses": "a" * 1025}, "refuses", "1024"),
    ],
)
def test_a_bound_is_for_what_clients_send(model: type[BaseModel], value: Any, loc: str, bound: str) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(value, context=SENT)
    (error,) = refused.value.errors()
    assert (".".join(map(str, error["loc"])), error["type"]) == (loc, BOUND)
    assert bound in error["msg"]
    assert error["msg"].rpartition("; ")[2] in ("shorten it", "raise it", "lower it")
    model.model_validate(value)


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (HealthSpec, {"start_period_seconds": 3601}),
        (HealthSpec, {"interval_seconds": 3601}),
        (HealthSpec, {"timeout_seconds": 61}),
        (HealthSpec, {"healthy_threshold": 101}),
        (HealthSpec, {"unhealthy_threshold": 101}),
        (HealthSpec, {"deadline_seconds": 86401}),
        (HealthSpec, {"exec": {"command": ["a"] * 65}}),
        (HealthSpec, {"http": {"path": "/" + "a" * 1024}}),
        (DockerConfig, {**IMAGE, "ports": [{"container_port": port} for port in range(1, 66)]}),
        (DockerConfig, {**IMAGE, "volumes": [{"source": "a", "target": f"/{i}"} for i in range(65)]}),
        (ProcessConfig, {**RUN, "resources": {"memory_mib": 2**24 + 1}}),
    ],
)
def test_the_older_bounds_are_kept(model: type[BaseModel], value: Any) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(value)


def test_the_largest_allowed_values_pass() -> None:
    HealthSpec.model_validate({"interval_seconds": 0.5, "timeout_seconds": 0.1, "deadline_seconds": 1}, context=SENT)
    DockerConfig.model_validate({**IMAGE, "command": ["a" * MAX_TEXT] * 512}, context=SENT)
    DockerConfig.model_validate({**IMAGE, "command": "a" * 8192}, context=SENT)


def test_the_schemas_show_the_bounds() -> None:
    assert HealthSpec.model_json_schema()["properties"]["interval_seconds"]["minimum"] == 0.5
    shown = DockerConfig.model_json_schema()["properties"]
    assert shown["env"]["maxProperties"] == 512
    assert [one.get("maxItems", one.get("maxLength")) for one in shown["command"]["anyOf"]] == [512, 8192, None]


@pytest.mark.parametrize(
    ("document", "loc", "bound"),
    [
        ({"spec": {"command": ["a"] * (MAX_ITEMS + 1)}}, "spec.command", MAX_ITEMS),
        ({"env": {f"A{i}": "" for i in range(MAX_ITEMS + 1)}}, "env", MAX_ITEMS),
        ({"list": [{"value": "a" * (MAX_TEXT + 1)}]}, "list.0.value", MAX_TEXT),
        ({"env": {"A" * (MAX_NAME + 1): ""}}, "env", MAX_NAME),
        ([["a"] * 1000] * 9, "", MAX_VALUES),
        ([[{}] * 1000] * 9, "", MAX_VALUES),
        ([[0.5] * 1000] * 9, "", MAX_VALUES),
    ],
)
def test_a_body_has_bounds_of_its_own(document: Any, loc: str, bound: int) -> None:
    with pytest.raises(Refused) as refused:
        parse(json.dumps(document).encode())
    (error,) = refused.value.fields["errors"]
    assert error["loc"] == loc
    assert str(bound) in error["message"]
    assert "shorten it" in error["message"] or "send fewer" in error["message"]


def test_the_largest_body_is_read() -> None:
    document = {"a": ["b"] * MAX_ITEMS, "c" * MAX_NAME: "d" * MAX_TEXT}
    assert parse(json.dumps(document).encode()) == document


def test_an_answer_lists_so_many_errors() -> None:
    with pytest.raises(ValidationError) as refused:
        TenantCreate.model_validate({f"k{i}": 0 for i in range(1000)})
    assert len(invalid_body(refused.value).fields["errors"]) == MAX_ERRORS


def test_lists_are_matched_by_name_in_one_look_at_each() -> None:
    looks = 0

    class Counted(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            nonlocal looks
            looks += 1
            return super().get(key, default)

    stored: list[Mapping[str, Any]] = [Counted(name=f"KEY_{i}", value=str(i)) for i in range(1000)]
    sent = [{"name": f"KEY_{i}", "value": masking.MASK} for i in reversed(range(1000))]
    restored, missing = masking.restore({"environment": sent}, {"environment": stored})
    assert not missing
    assert restored["environment"][0] == {"name": "KEY_999", "value": "999"}
    assert looks <= 10_000


@pytest.mark.parametrize("name", [0, None, ["a"], {"a": 1}])
def test_a_name_that_is_no_text_stands_for_nothing(name: Any) -> None:
    restored, missing = masking.restore({"env": [{"name": name, "value": masking.MASK}]}, {"env": [{"name": name}]})
    assert missing == ["env.0.value"]
    assert restored["env"][0]["value"] == masking.MASK
