"""The process provider as its tests have it: in a directory of its own, nothing of it running at the end."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from controlplane.steps.probe import HealthProber
from providers.compute.process.provider import ProcessCompute
from tests.contract.process.bench import OWNER, UIDS


@pytest.fixture
def root() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="ll-process-"))
    yield home / "processes"
    shutil.rmtree(home)


@pytest.fixture
def workdir() -> Iterator[Path]:
    """Open to every account. Not in pytest's directory: each pytest that starts closes that one to others."""
    directory = Path(tempfile.mkdtemp(prefix="ll-workdir-"))
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


@pytest_asyncio.fixture
async def provider(root: Path) -> AsyncIterator[ProcessCompute]:
    provider = ProcessCompute(root, uids=UIDS)
    yield provider
    for resource in await provider.list_owned(OWNER):
        await provider.destroy(resource.id)
    await provider.close()


@pytest_asyncio.fixture
async def prober() -> AsyncIterator[HealthProber]:
    prober = HealthProber()
    yield prober
    await prober.close()
