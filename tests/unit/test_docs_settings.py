"""Each setting is documented, and each documented one exists."""

import re
from pathlib import Path

import pytest

from controlplane.settings import GONE, NOT_SETTINGS, PREFIX, RENAMED, Settings
from providers.workflow.restate.provider import RestateWorkflow
from providers.workflow.stepfunctions.provider import StepFunctionsWorkflow
from tests.pages import DOCS, IDS, PAGES, ROOT, first_cells

NAMES = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
FOR_TESTS = {"LANDLORD_FAILPOINTS"}
"""Documented where contributors look, not among a user's settings."""
OLD = {f"{PREFIX}{field.upper()}" for field in (*RENAMED, *GONE)}
"""A changelog and a decision record may name the settings of before."""
_VARIABLE = re.compile(r"LANDLORD_[A-Z_]*[A-Z]\b")


def test_each_setting_has_its_row() -> None:
    told = {name for page in PAGES for cell in first_cells(page.read_text()) for name in _VARIABLE.findall(cell)}
    assert NAMES - FOR_TESTS - told == set()
    assert all(name in (ROOT / "CONTRIBUTING.md").read_text() for name in FOR_TESTS)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_each_setting_that_a_page_names_exists(page: Path) -> None:
    named = {name for name in _VARIABLE.findall(page.read_text()) if not name.startswith(NOT_SETTINGS)}
    old = OLD if page.name == "CHANGELOG.md" or page.parent.name == "decisions" else set()
    assert {name for name in named - NAMES - old if f"{name}_" not in NOT_SETTINGS} == set()


DEPLOYED = [ROOT / "cluster.yaml", *sorted(path for path in (ROOT / "deploy").rglob("*.*") if path.suffix != ".pyc")]


@pytest.mark.parametrize("file", DEPLOYED, ids=[str(file.relative_to(ROOT)) for file in DEPLOYED])
def test_each_setting_that_a_deployment_names_exists(file: Path) -> None:
    named = {name for name in _VARIABLE.findall(file.read_text()) if not name.startswith(NOT_SETTINGS)}
    assert {name for name in named - NAMES if f"{name}_" not in NOT_SETTINGS} == set()


@pytest.mark.parametrize("engine", [RestateWorkflow, StepFunctionsWorkflow])
def test_the_page_on_engines_lists_each_setting(engine: type[RestateWorkflow | StepFunctionsWorkflow]) -> None:
    page = (DOCS / "workflow-providers.md").read_text()
    missing = [name for name in engine.config_schema()["properties"] if f"| `LANDLORD_{name.upper()}` |" not in page]
    assert not missing
    assert len(engine.config_schema()["properties"]) > 3
