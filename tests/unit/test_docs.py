"""Documents that are printed from code are what the code prints."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from controlplane.cli.exit_codes import HELP
from controlplane.lifecycle.transitions import as_markdown
from providers.compute.docker.config import DockerConfig
from providers.compute.fake import FakeConfig
from providers.compute.process.config import ProcessConfig
from providers.workflow.restate.provider import RestateWorkflow
from providers.workflow.stepfunctions.provider import StepFunctionsWorkflow

DOCS = Path(__file__).parents[2] / "docs"


def test_the_lifecycle_page_shows_the_table_that_the_code_has() -> None:
    page = (DOCS / "lifecycle.md").read_text()
    printed = page.split("<!-- transitions -->\n")[1].split("<!-- /transitions -->")[0]
    assert printed == as_markdown()


def test_the_readme_tells_the_exit_codes_as_the_command_does() -> None:
    assert HELP in " ".join((DOCS.parent / "README.md").read_text().split())


@pytest.mark.parametrize("engine", [RestateWorkflow, StepFunctionsWorkflow])
def test_the_page_on_engines_lists_each_setting(engine: type[RestateWorkflow | StepFunctionsWorkflow]) -> None:
    page = (DOCS / "workflow-providers.md").read_text()
    missing = [name for name in engine.config_schema()["properties"] if f"| `LANDLORD_{name.upper()}` |" not in page]
    assert not missing
    assert len(engine.config_schema()["properties"]) > 3


@pytest.mark.parametrize(
    ("provider", "config"), [("process", ProcessConfig), ("docker", DockerConfig), ("fake", FakeConfig)]
)
def test_the_page_on_platforms_lists_each_field(provider: str, config: type[BaseModel]) -> None:
    page = (DOCS / "compute-providers.md").read_text().split(f"## `{provider}`\n")[1].split("\n## ")[0]
    rows = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| "))
    assert [name for name in config.model_fields if f"`{name}`" not in rows] == []
