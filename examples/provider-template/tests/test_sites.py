"""Tests particular to sites: they are public while they run, and leave nothing behind."""

from pathlib import Path

import pytest
from landlord_sites.compute import SitesCompute

from controlplane.errors import Unsupported
from controlplane.model import HealthSpec
from providers.conformance.compute_bench import Gate, desire


async def test_a_site_is_public_while_it_runs_and_leaves_nothing(tmp_path: Path) -> None:
    provider = SitesCompute(tmp_path)
    resource = await provider.apply(desire("test-sites", {"files": {"index.html": "hello"}}), Gate(True))
    page = tmp_path / "public" / resource.name / "index.html"
    assert page.read_text() == "hello"
    await provider.stop(resource.id)
    assert not page.exists()
    await provider.start(resource.id)
    assert page.read_text() == "hello"
    await provider.destroy(resource.id)
    await provider.close()
    assert left(tmp_path) == []


def left(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() or path.is_symlink()]


def test_a_probe_without_an_address_is_refused(tmp_path: Path) -> None:
    probed = HealthSpec.model_validate({"http": {}})
    with pytest.raises(Unsupported, match=r"health\.http"):
        SitesCompute(tmp_path).validate({"files": {"index.html": "hello"}}, probed)
