"""The HTTP contract only grows: what breaks clients of the last release fails here."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.api.app import bare_app
from tests.openapi_changes import breaking

RELEASED = Path(__file__).parents[2] / "docs" / "openapi-released.json"

Json = dict[str, Any]


AGREED = {
    "POST /v1/tenants: body.spec.health.exec: alternative 0 is not accepted any more",  # words of 4096 characters
    "POST /v1/tenants: body.spec.health.interval_seconds: minimum is 0.5 now",
    "POST /v1/tenants: body.spec.health.timeout_seconds: minimum is 0.1 now",
    "POST /v1/tenants: body.spec.health.deadline_seconds: minimum is 1 now",
}
"""Decision 19: what used to be accepted could stop a replica."""


def test_nothing_breaks_clients_of_the_last_release() -> None:
    assert {*breaking(json.loads(RELEASED.read_text()), bare_app().openapi())} == AGREED


def document() -> Json:
    """A small contract with a bit of everything."""
    thing = {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "maxLength": 40, "pattern": "^[a-z]+$"},
            "mode": {"enum": ["a", "b"], "type": "string"},
            "count": {"type": "integer", "minimum": 1},
            "more": {"anyOf": [{"$ref": "#/components/schemas/Thing"}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
    }
    shown = {
        "type": "object",
        "required": ["name", "age"],
        "properties": {
            "name": {"type": "string"},
            "age": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "state": {"type": "string", "enum": ["on"]},
        },
    }
    parameters = [
        {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 500}},
        {"name": "If-Match", "in": "header", "schema": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    ]
    operation = {
        "operationId": "make_thing",
        "x-required-role": "operator",
        "parameters": parameters,
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
        "responses": {
            "202": {
                "headers": {"ETag": {}},
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Shown"}}},
            },
            "409": {},
        },
    }
    return {"paths": {"/things": {"post": operation}}, "components": {"schemas": {"Thing": thing, "Shown": shown}}}


def operation(new: Json) -> Json:
    found: Json = new["paths"]["/things"]["post"]
    return found


def thing(new: Json) -> Json:
    found: Json = new["components"]["schemas"]["Thing"]
    return found


def shown(new: Json) -> Json:
    found: Json = new["components"]["schemas"]["Shown"]
    return found


BREAKS: dict[str, Callable[[Json], object]] = {
    "POST /things: removed": lambda new: new["paths"].pop("/things"),
    "POST /things: the operation id was make_thing": lambda new: operation(new).update(operationId="create_thing"),
    "POST /things: needs a larger role": lambda new: operation(new).update({"x-required-role": "admin"}),
    "POST /things: query limit removed": lambda new: operation(new)["parameters"].pop(0),
    "POST /things: query limit: maximum is 100 now": lambda new: operation(new)["parameters"][0].update(
        schema={"type": "integer", "maximum": 100}
    ),
    "POST /things: query limit: integer is not accepted any more": lambda new: operation(new)["parameters"][0].update(
        schema={"type": "string"}
    ),
    "POST /things: header If-Match is required now": lambda new: operation(new)["parameters"][1].update(required=True),
    "POST /things: header If-Match: alternative 1 is not accepted any more": lambda new: operation(new)["parameters"][
        1
    ].update(schema={"type": "string"}),
    "POST /things: body is required now": lambda new: operation(new)["requestBody"].update(required=True),
    "POST /things: body: application/json removed": lambda new: operation(new)["requestBody"].update(content={}),
    "POST /things: body.mode is required now": lambda new: thing(new)["required"].append("mode"),
    "POST /things: body.mode: fewer values are accepted": lambda new: thing(new)["properties"]["mode"].update(
        enum=["a"]
    ),
    "POST /things: body.count: minimum is 2 now": lambda new: thing(new)["properties"]["count"].update(minimum=2),
    "POST /things: body.count: maximum is 9 now": lambda new: thing(new)["properties"]["count"].update(maximum=9),
    "POST /things: body.name: another pattern": lambda new: thing(new)["properties"]["name"].update(pattern="^a$"),
    "POST /things: body.count is not accepted any more": lambda new: thing(new)["properties"].pop("count"),
    "POST /things: body.tags[]: string is not accepted any more": lambda new: thing(new)["properties"]["tags"].update(
        items={"type": "integer"}
    ),
    "POST /things: 409 removed": lambda new: operation(new)["responses"].pop("409"),
    "POST /things: 202: header ETag removed": lambda new: operation(new)["responses"]["202"].pop("headers"),
    "POST /things: 202: application/json removed": lambda new: operation(new)["responses"]["202"].pop("content"),
    "POST /things: 202.age is not always there any more": lambda new: shown(new)["required"].remove("age"),
    "POST /things: 202.name: may be integer now": lambda new: shown(new)["properties"]["name"].update(type="integer"),
    "POST /things: 202.age: alternative 2 was not there before": lambda new: shown(new)["properties"]["age"][
        "anyOf"
    ].append({"type": "string"}),
}


@pytest.mark.parametrize("expected", BREAKS)
def test_a_break_is_named(expected: str) -> None:
    new = document()
    BREAKS[expected](new)
    assert breaking(document(), new) == [expected]


def test_what_grows_does_not_break() -> None:
    new = document()
    new["paths"]["/others"] = copy.deepcopy(new["paths"]["/things"])
    operation(new)["parameters"].append({"name": "sort", "in": "query", "schema": {"type": "string"}})
    operation(new)["parameters"][0]["schema"] = {"type": "number"}
    operation(new)["responses"]["503"] = {}
    operation(new)["x-required-role"] = "viewer"
    thing(new)["properties"]["colour"] = {"type": "string"}
    thing(new)["properties"]["mode"]["enum"].append("c")
    del thing(new)["properties"]["name"]["pattern"]
    del thing(new)["additionalProperties"]
    thing(new)["properties"]["count"]["minimum"] = 0
    shown(new)["properties"]["colour"] = {"type": "string"}
    shown(new)["required"].append("state")
    shown(new)["properties"]["state"]["enum"].append("off")
    shown(new)["properties"]["age"] = {"type": "integer"}
    assert breaking(document(), new) == []
    assert breaking(document(), document()) == []


def test_a_bodys_rule_that_is_new_is_named() -> None:
    new = document()
    thing(new)["oneOf"] = [{"required": ["mode"]}]
    assert breaking(document(), new) == ["POST /things: body: another oneOf"]
    open_before = document()
    del thing(open_before)["additionalProperties"]
    assert breaking(open_before, document()) == ["POST /things: body: unknown members are not accepted any more"]
