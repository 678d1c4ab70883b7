"""The template of a third party's provider: installed like one, found by its entry point, run by its own suite."""

import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from controlplane.errors import InvalidConfig
from controlplane.model import HealthSpec
from controlplane.ports import ComputeProvider
from controlplane.settings import Settings, load_settings
from providers.conformance.compute import SECRET, ComputeConformance, Gate, desire
from providers.registry import enabled_compute

TEMPLATE = Path(__file__).parents[2] / "examples" / "provider-template"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The template built and installed into a directory of its own, which is on the path for these tests."""
    target = tmp_path_factory.mktemp("template")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(TEMPLATE)], check=True)
    sys.path.insert(0, str(target))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(target))
    for name in [name for name in sys.modules if name.split(".")[0] == "landlord_sites"]:
        del sys.modules[name]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"LANDLORD_HOME": str(tmp_path), "LANDLORD_COMPUTE_PROVIDERS": "process,sites"})


@pytest_asyncio.fixture
async def provider(settings: Settings) -> AsyncIterator[ComputeProvider]:
    provider = enabled_compute(settings)["sites"]
    yield provider
    await provider.close()


class TestTemplateConforms(ComputeConformance):
    many = 200

    @pytest_asyncio.fixture
    async def provider(self, settings: Settings) -> AsyncIterator[ComputeProvider]:
        provider = enabled_compute(settings)["sites"]
        yield provider
        await provider.close()

    @pytest_asyncio.fixture
    async def another(self, settings: Settings) -> AsyncIterator[ComputeProvider]:
        provider = enabled_compute(settings)["sites"]
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
        return {"files": {"index.html": SECRET, "x" * 300: SECRET}}

    @pytest.fixture
    def invalid_config(self) -> Mapping[str, Any]:
        return {"files": {"../index.html": SECRET}}


async def test_a_site_is_public_while_it_runs_and_leaves_nothing(provider: ComputeProvider, tmp_path: Path) -> None:
    desired = desire("test-sites", {"files": {"index.html": "hello"}})
    resource = await provider.apply(desired, Gate(True))
    page = tmp_path / "sites" / "public" / resource.name / "index.html"
    assert page.read_text() == "hello"
    await provider.stop(resource.id)
    assert not page.exists()
    await provider.start(resource.id)
    assert page.read_text() == "hello"
    await provider.destroy(resource.id)
    left = [path for path in (tmp_path / "sites").rglob("*") if path.is_file() or path.is_symlink()]
    assert left == []


def test_a_probe_without_an_address_is_refused(provider: ComputeProvider) -> None:
    with pytest.raises(InvalidConfig, match=r"health\.http"):
        provider.validate({"files": {"index.html": "hello"}}, HealthSpec.model_validate({"http": {}}))


def test_the_templates_own_suite_runs_as_its_readme_says(tmp_path: Path) -> None:
    """In a process of its own, as a third party would: one test of it stands for all, which ran above."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    ran = subprocess.run(
        [*command, "-k", "test_apply_makes_it_run", f"--basetemp={tmp_path / 'base'}", "tests"],
        cwd=TEMPLATE,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(TEMPLATE), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout
