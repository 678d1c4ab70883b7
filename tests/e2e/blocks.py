"""The blocks of shell commands in the pages, and where each that test_pages.py does not run is run."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.pages import PAGES, ROOT

_BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.M | re.S)

HERE = {
    ("docs/runbooks.md", "curl -X POST"),
    ("docs/runbooks.md", "grep -h ID"),
    ("docs/security.md", "jq -c"),
    ("docs/security.md", "landlord events verify"),
    ("docs/operations.md", "landlord backup"),
    ("README.md", "make run"),
    ("README.md", ". .venv/bin/activate"),
    ("README.md", "home=${LANDLORD_HOME"),
}
"""Page and beginning of the blocks that tests/e2e/test_pages.py runs."""

ELSEWHERE = {
    ("README.md", "make test"): "make test",
    ("CONTRIBUTING.md", "make lint"): "make lint",
    ("docs/api.md", "oapi-codegen"): "test_api_clients.py",
    ("docs/compose.md", "landlord tenant create"): "test_commands.py",
    ("docs/operations.md", "python examples/ray/live.py"): "test_operator.py",
    ("docs/operations.md", "export LANDLORD_DATABASE_URL="): "test_join.py",
    ("docs/operations.md", "landlord node leave"): "test_head_lost.py",
    ("docs/operations.md", "export LANDLORD_RAY_REDIS="): "test_head_redis.py",
    ("docs/operations.md", "landlord restore"): "test_backup.py",
    ("docs/operations.md", "old=/opt/landlord new="): "test_upgrade_beside.py",
    ("docs/operations.md", "old=/opt/landlord/.venv"): "test_upgrade_machines.py",
    ("docs/reliability.md", "make chaos"): "make chaos",
    ("docs/reliability.md", ".venv/bin/python -m tests.model"): "test_protocol.py",
    ("docs/security.md", "LANDLORD_DATABASE_URL="): "test_running_role.py",
}
"""Page and beginning → the target of make or the file of tests that runs the same."""


@dataclass(frozen=True, slots=True)
class Block:
    page: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.page.relative_to(ROOT))


def blocks() -> list[Block]:
    return [Block(page, text) for page in PAGES for text in _BLOCK.findall(page.read_text())]
