"""The floors: the picture is the contracts', and each module is on exactly one floor."""

import tomllib
from typing import Any

import pytest

from docs.floors import PICTURE, modules_in, picture
from tests.pages import ROOT, modules, section

with (ROOT / "pyproject.toml").open("rb") as _file:
    CONTRACTS: list[dict[str, Any]] = tomllib.load(_file)["tool"]["importlinter"]["contracts"]
FLOORS = {contract["containers"][0]: contract for contract in CONTRACTS if "containers" in contract}


def rooms(contract: dict[str, Any]) -> list[str]:
    return [room.strip() for layer in contract["layers"] for room in layer.split("|")]


def test_the_picture_is_drawn_from_the_contracts() -> None:
    assert PICTURE.read_text() == picture(), "run `make docs`"


def test_each_package_has_its_floors_and_each_contract_is_exhaustive() -> None:
    outer = [contract for contract in CONTRACTS if contract["type"] == "layers" and "containers" not in contract]
    assert [contract["layers"] for contract in outer] == [["actors", "providers", "controlplane", "landlord_client"]]
    assert sorted(FLOORS) == sorted(outer[0]["layers"])
    assert all(contract["exhaustive"] for contract in FLOORS.values())


@pytest.mark.parametrize("package", sorted(FLOORS))
def test_each_module_is_on_exactly_one_floor(package: str) -> None:
    contract = FLOORS[package]
    found = rooms(contract)
    assert len(found) == len(set(found))
    walked = {name.split(".")[1] for name in modules() if name.startswith(f"{package}.")}
    assert walked - set(contract.get("exhaustive_ignores", ())) == set(found)


def test_a_contract_of_independence_names_no_folder_that_is_gone() -> None:
    alone = [pattern for contract in CONTRACTS if contract["type"] == "independence" for pattern in contract["modules"]]
    assert alone
    assert [pattern for pattern in alone if not modules_in(ROOT / pattern.removesuffix(".*").replace(".", "/"))] == []


def test_the_page_on_architecture_tells_of_each_folder() -> None:
    told = section(ROOT / "docs" / "architecture.md", "## Floors")
    folders = {path.parent for name, path in modules().items() if path.name == "__init__.py" and name.count(".") == 1}
    paths = sorted(f"`{folder.relative_to(ROOT)}/`" for folder in folders)
    assert [path for path in paths if path not in told] == []
