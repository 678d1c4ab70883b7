"""The map at the door of `controlplane.persistence` is whole, and first parameters keep what it promises."""

import ast
import re
from pathlib import Path

import controlplane.persistence

ROOM = Path(controlplane.persistence.__file__).parent
MAP = controlplane.persistence.__doc__ or ""
MODULES = {path.stem: ast.parse(path.read_text()) for path in ROOM.glob("*.py") if path.stem != "__init__"}


def test_each_module_is_on_the_map_and_each_entry_is_a_module() -> None:
    entries = re.findall(r"^    ([a-z_, ]+?)  +\S", MAP, flags=re.MULTILINE)
    named = {name.strip() for entry in entries for name in entry.split(",")} | set(re.findall(r"`([a-z_]+)`", MAP))
    assert named - {"connection", "tx"} == set(MODULES)


def test_the_first_parameter_says_whose_the_transaction_is() -> None:
    strangers = {
        f"{module}.{function.name}": function.args.args[0].arg
        for module, tree in MODULES.items()
        for function in tree.body
        if isinstance(function, ast.AsyncFunctionDef)
        and not function.name.startswith("_")
        and function.args.args[0].arg not in ("database", "connection", "tx")
    }
    # The start of an installation, which has no database yet.
    assert strangers == {"bootstrap.prepare": "database_url", "bootstrap.opened": "owner_url"}
