"""Fixtures of the tests with Postgres."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from providers.compute.fake import FakeCloud
from tests.integration.owner import World


@pytest.fixture
def world(database: AsyncEngine, database_url: str, tmp_path: Path) -> World:
    """Tenants on a fake cloud, and owners for them."""
    return World(database, database_url, tmp_path, FakeCloud(identity="cloud"))
