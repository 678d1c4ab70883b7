"""Fixtures for the whole suite: a real Postgres with fresh, migrated databases in it, and a whole installation."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.local.postgres import EmbeddedPostgres
from controlplane.persistence import bootstrap
from controlplane.persistence.database import open_database
from tests.databases import copied, create_database
from tests.e2e.installation import Installation, free_port

pytest_plugins = [
    "tests.engines",
    "tests.registry",
    "tests.aws",
    "tests.restate",
    "tests.postgres",
    "tests.side_by_side",
    "tests.e2e.engines",
]
TEMPLATE = "landlord_template"

# A machine that is busy with something else says nothing about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Also a test that is not run now names fixtures that there are. Else who renames one would learn of a long test's
    only when that is run."""
    for item in items:
        if isinstance(item, pytest.Function):
            known = {"request", *item._fixtureinfo.name2fixturedefs}
            if unknown := set(item.fixturenames) - known:
                raise pytest.UsageError(f"{item.nodeid}: no such fixture: {', '.join(sorted(unknown))}")


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """A directory with a short path: Unix socket paths have limits. Gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="ll-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def installation(docker_engine: object) -> Iterator[Installation]:
    """Running, shared by the tests of the session; each test uses tenant names of its own."""
    home = Path(tempfile.mkdtemp(prefix="ll-e2e-"))
    settings = {"LANDLORD_COMPUTE_PROVIDERS": "process,docker,fake", "LANDLORD_NODE_NAME": "first.of-the_suite"}
    there = Installation(home, free_port(), **settings)
    there.up()
    yield there
    there.run("down", "--purge", timeout=300)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(short_dir: Path) -> Iterator[str]:
    """The URL of a real, empty Postgres of this test session."""
    sockets = short_dir / "s"
    server = EmbeddedPostgres(data=short_dir / "pg", sockets=sockets, log=short_dir / "pg.log")
    yield server.start()
    server.stop()


@pytest_asyncio.fixture(scope="session")
async def template(postgres: str) -> str:
    """The name of a migrated database from which the others are copied."""
    url = await create_database(postgres, TEMPLATE)
    database = open_database(url, pool=1)
    await bootstrap.migrate(database)
    await database.dispose()
    return TEMPLATE


@pytest_asyncio.fixture
async def database_url(postgres: str, template: str) -> AsyncIterator[str]:
    """A fresh, migrated database for one test."""
    async with copied(postgres, template) as url:
        yield url


@pytest_asyncio.fixture
async def empty_database_url(postgres: str) -> AsyncIterator[str]:
    """A database without a schema, for one test."""
    async with copied(postgres, "template1") as url:
        yield url


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    database = open_database(database_url, pool=5, overflow=20)
    yield database
    await database.dispose()
