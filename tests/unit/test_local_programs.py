"""Programs that are started by name: no import would fail if one moved."""

import importlib.util
from pathlib import Path

import pytest

from controlplane.local import programs

NAMES = {name: value for name, value in vars(programs).items() if name.isupper()}


@pytest.mark.parametrize("program", NAMES.values(), ids=NAMES)
def test_a_program_that_is_started_by_name_exists(program: str) -> None:
    found = importlib.util.find_spec(program)
    assert found is not None
    if found.submodule_search_locations is not None:
        assert importlib.util.find_spec(f"{program}.__main__") is not None, "`python -m` runs a package's __main__"
    else:
        assert found.origin is not None
        assert 'if __name__ == "__main__":' in Path(found.origin).read_text()


def test_they_are_named_in_one_place() -> None:
    here = Path(programs.__file__).parent
    elsewhere = [
        f"{path.name}: {name}"
        for path in here.glob("*.py")
        for name in NAMES.values()
        if path.name != "programs.py" and f'"-m", "{name}"' in path.read_text()
    ]
    assert elsewhere == []
