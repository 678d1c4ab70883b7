"""The OpenAPI document: as committed, whole, and fit for code generation."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from controlplane.api.app import bare_app
from controlplane.api.problem import CODES, Problem
from controlplane.api.schemas.execution import ExecutionOut
from controlplane.api.schemas.requests import PauseScope, TenantCreate
from controlplane.api.schemas.tenant import TenantOut

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return bare_app().openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_committed_document_is_that_of_the_code(document: dict[str, Any]) -> None:
    assert json.loads(COMMITTED.read_text()) == document, "run: python -m controlplane.api > docs/openapi.json"


def test_every_operation_has_an_id_a_summary_and_its_errors(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    for method, path, operation in operations(document):
        assert operation["operationId"].isidentifier()
        assert operation["description"], (method, path)
        for status, response in operation["responses"].items():
            assert "X-Request-ID" in response["headers"]
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], (method, path, status)
                assert response["content"]["application/problem+json"]["examples"]
        if path.startswith("/v1"):
            assert operation["x-required-role"] in ("viewer", "operator", "admin")
            assert operation["security"] == [{"bearer": []}]
            assert {"401", "500", "503"} <= set(operation["responses"])


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for item in value.values() for found in references(item)]
        if isinstance(value, list):
            return [found for item in value for found in references(item)]
        return []

    found = set(references(document))
    assert found
    for reference in found:
        _, components, kind, name = reference.split("/")
        assert name in document[components][kind]


def test_every_code_is_documented_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document["paths"])
    unmentioned = {code for code in CODES if f"`{code}`" not in text}
    # What no operation answers: the router itself does, for paths that are none.
    assert unmentioned == {"not_found", "method_not_allowed", "version_required", "unsupported_version"}


def test_examples_are_what_they_are_examples_of(document: dict[str, Any]) -> None:
    for code, example in document["components"]["examples"].items():
        assert Problem.model_validate(example["value"]).status == CODES[code][0]
    models: list[type[BaseModel]] = [TenantCreate, TenantOut, ExecutionOut, PauseScope]
    for model in models:
        [*found] = document["components"]["schemas"][model.__name__]["examples"]
        assert found
        for one in found:
            assert json.loads(model.model_validate_json(json.dumps(one)).model_dump_json(exclude_unset=True)) == one
