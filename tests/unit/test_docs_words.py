"""Statuses, states, problem codes and fields: pages say those that exist, and no others."""

import re

import pytest
from pydantic import BaseModel

from controlplane.api.problem import CODES
from controlplane.lifecycle.transitions import as_markdown
from controlplane.model import STEPS, Action, ExecutionState, Status, SubState
from providers.compute.docker.config import DockerConfig
from providers.compute.fake import FakeConfig
from providers.compute.process.config import ProcessConfig
from tests.pages import DOCS, first_cells, section

EXECUTIONS = DOCS / "design" / "executions.md"


def test_the_lifecycle_page_shows_the_table_that_the_code_has() -> None:
    page = (DOCS / "lifecycle.md").read_text()
    printed = page.split("<!-- transitions -->\n")[1].split("<!-- /transitions -->")[0]
    assert printed == as_markdown()
    assert [f"**{status}**" for status in Status] == first_cells(printed)[1:]


def test_each_state_of_an_execution_has_its_row_and_each_sub_state() -> None:
    tables = section(EXECUTIONS, "## States")
    states, sub_states = tables.split("Inside an active execution")
    assert first_cells(states)[1:] == [f"`{state}`" for state in ExecutionState]
    assert first_cells(sub_states)[1:] == [f"`{state}`" for state in SubState]


def test_the_steps_of_each_action_are_those_of_the_code() -> None:
    rows = [line for line in section(EXECUTIONS, "## Steps").splitlines() if line.startswith("| `")]
    assert len(rows) == 2
    for row in rows:
        actions, steps = [re.findall(r"`([a-z_]+)`", cell) for cell in row.split("|")[1:3]]
        for action in actions:
            assert tuple(steps) == STEPS[Action(action)]


def test_each_problem_code_has_its_place_and_no_other_is_named() -> None:
    rows = [line.split("|") for line in section(DOCS / "api.md", "## Errors").splitlines() if re.match(r"\| \d", line)]
    told = {code: row[1] for row in rows for code in re.findall(r"`([a-z]+_?[a-z_]*)`", row[2])}
    assert set(CODES) - set(told) == set()
    assert set(told) - set(CODES) <= {"errors", "force"}  # members of a problem, and of a query
    assert [code for code, (status, _) in CODES.items() if str(status) not in told[code]] == []


@pytest.mark.parametrize(
    ("provider", "config"), [("process", ProcessConfig), ("docker", DockerConfig), ("fake", FakeConfig)]
)
def test_the_page_on_platforms_lists_each_field(provider: str, config: type[BaseModel]) -> None:
    page = (DOCS / "compute-providers.md").read_text().split(f"## `{provider}`\n")[1].split("\n## ")[0]
    rows = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| "))
    assert [name for name in config.model_fields if f"`{name}`" not in rows] == []
