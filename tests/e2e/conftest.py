"""The installation that the e2e tests share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation, free_port


@pytest.fixture(scope="session")
def installation(docker_engine: object) -> Iterator[Installation]:
    """Running, shared by the tests of the session; each test uses tenant names of its own."""
    home = Path(tempfile.mkdtemp(prefix="ll-e2e-"))
    there = Installation(home, free_port())
    there.up()
    yield there
    there.run("down", "--purge", timeout=300)
    shutil.rmtree(home, ignore_errors=True)
