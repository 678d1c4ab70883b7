"""What `up` remembers."""

import json
import stat
from pathlib import Path

from controlplane.local.ports import derive_ports
from controlplane.local.state import RunState

STATE = RunState("1+abc", "f", "cluster", derive_ports(8000, free=lambda port: True), "process")


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    STATE.write(path)
    assert RunState.read(path) == STATE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_another_release_says_beside_it_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    STATE.write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "installation_id": "i"}))
    assert RunState.read(path) == STATE


def test_a_release_that_knew_no_joined_machines_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    STATE.write(path)
    content = json.loads(path.read_text())
    del content["head"]
    path.write_text(json.dumps(content))
    assert RunState.read(path) == STATE


def test_what_cannot_be_understood_was_never_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert RunState.read(path) is None
    for content in ("", "{", "[]", json.dumps({"build": "1"}), json.dumps({"ports": {"http": 1}})):
        path.write_text(content)
        assert RunState.read(path) is None
