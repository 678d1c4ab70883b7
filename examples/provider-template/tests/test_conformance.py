"""The conformance suite that ships with Landlord, against a real document root."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from landlord_sites.compute import SitesCompute

from providers.conformance.compute import SECRET, ComputeConformance


class TestSitesConform(ComputeConformance):
    many = 200

    @pytest_asyncio.fixture
    async def provider(self, tmp_path: Path) -> AsyncIterator[SitesCompute]:
        provider = SitesCompute(tmp_path)
        yield provider
        await provider.close()

    @pytest_asyncio.fixture
    async def another(self, tmp_path: Path) -> AsyncIterator[SitesCompute]:
        provider = SitesCompute(tmp_path)
        yield provider
        await provider.close()

    @pytest.fixture
    def good_config(self) -> Mapping[str, Any]:
        return {"files": {"index.html": "<h1>blue</h1>", "css/site.css": "h1 {color: blue}"}}

    @pytest.fixture
    def changed_config(self) -> Mapping[str, Any]:
        return {"files": {"index.html": "<h1>green</h1>"}}

    @pytest.fixture
    def refused_config(self) -> Mapping[str, Any]:
        """No file system takes names that long."""
        return {"files": {"index.html": SECRET, "x" * 300: SECRET}}

    @pytest.fixture
    def invalid_config(self) -> Mapping[str, Any]:
        return {"files": {"../index.html": SECRET}}
