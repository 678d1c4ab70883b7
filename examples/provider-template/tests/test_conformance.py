"""The conformance suite that ships with Landlord, against a real document root."""

import errno
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from landlord_sites.compute import SitesCompute
from landlord_sites.document_root import DocumentRoot

from providers.conformance.compute import ComputeConformance
from providers.conformance.compute_bench import SECRET, Effect, LoseAnswer
from providers.conformance.compute_capabilities import NoExecProbesConformance


class TestSitesConform(ComputeConformance, NoExecProbesConformance):
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

    @pytest_asyncio.fixture
    async def elsewhere(self, tmp_path: Path) -> AsyncIterator[SitesCompute]:
        provider = SitesCompute(tmp_path / "another")
        yield provider
        await provider.close()

    @pytest.fixture
    def lose_answer(self, monkeypatch: pytest.MonkeyPatch) -> LoseAnswer:
        """The effect is on the disk, but its call fails: a network file system may do so."""

        def lose(effect: Effect) -> None:
            call = {"create": "create", "start": "publish", "destroy": "remove"}[effect]
            real = getattr(DocumentRoot, call)

            def done_in_vain(*args: Any) -> None:
                monkeypatch.setattr(DocumentRoot, call, real)
                real(*args)
                raise OSError(errno.ETIMEDOUT, "Connection timed out")

            monkeypatch.setattr(DocumentRoot, call, done_in_vain)

        return lose

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
    def refusal_code(self) -> object:
        return errno.ENAMETOOLONG

    @pytest.fixture
    def invalid_config(self) -> Mapping[str, Any]:
        return {"files": {"../index.html": SECRET}}
