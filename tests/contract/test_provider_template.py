"""The template of a third party's provider, as a third party has it.

Landlord and the template are built and installed into a fresh environment, away from this checkout, and the template's
own suite runs there as its README says.
"""

import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples" / "provider-template"

ENABLED = """
import asyncio, importlib.metadata, pathlib, sys
import controlplane, landlord_sites.compute
from controlplane.settings import load_settings
from providers.registry import enabled_compute

settings = load_settings({"LANDLORD_HOME": sys.argv[1], "LANDLORD_COMPUTE_PROVIDERS": "process,sites"})
sites = enabled_compute(settings)["sites"]
assert isinstance(sites, landlord_sites.compute.SitesCompute)
assert asyncio.run(sites.health()).healthy
for module in (controlplane, landlord_sites):
    assert pathlib.Path(module.__path__[0]).is_relative_to(sys.prefix), module.__path__
print(sites.config_model.model_json_schema()["title"])
"""


@dataclass(frozen=True)
class ThirdParty:
    """An environment, and a copy of the template's tests, without what they test."""

    python: Path
    directory: Path

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.python, *words],
            cwd=self.directory,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.directory)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> ThirdParty:
    """What Landlord depends on, and pytest, come from the environment that runs this; nothing of Landlord's does."""
    directory = tmp_path_factory.mktemp("third-party")
    wheels, tests = directory / "wheels", directory / "sites"
    shutil.copytree(TEMPLATE / "tests", tests / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TEMPLATE / "pyproject.toml", tests)
    pip = [sys.executable, "-m", "pip"]
    offline = ["--quiet", "--no-index", "--no-deps"]
    for source in (ROOT, TEMPLATE):
        subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", wheels, source], check=True)
    environment = directory / "env"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    scheme = {"base": str(environment), "platbase": str(environment)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", scheme))
    # Its directory only: an editable Landlord that is installed there stays unseen.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    install = ["install", *offline, "--ignore-installed", *map(str, wheels.glob("*.whl"))]
    subprocess.run([*pip, "--python", python, *install], check=True)
    return ThirdParty(python, tests)


def test_its_entry_point_is_found(third_party: ThirdParty) -> None:
    ran = third_party.run("-c", ENABLED, str(third_party.directory / "home"))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "SitesConfig"


def test_it_passes_the_conformance_suite(third_party: ThirdParty) -> None:
    ran = third_party.run("-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "tests")
    assert ran.returncode == 0, ran.stdout
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout
