"""Files of the process provider that are never half there, and holds on ports that nobody else can take."""

import errno
import os
import socket
from pathlib import Path

import pytest

from providers.compute.process import keeper, ports
from providers.compute.process.files import Locked, read_json, states, write_json


def test_a_write_that_takes_only_a_part_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:7]))
    write_json(str(tmp_path / "state.json"), {"id": "x" * 100})
    assert read_json(str(tmp_path / "state.json")) == {"id": "x" * 100}


def test_a_full_disk_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "state.json")
    write_json(path, {"id": "old"})
    real = os.write
    room = iter([7])

    def nearly_full(file: int, data: memoryview) -> int:
        for left in room:
            return real(file, data[:left])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", nearly_full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"id": "new" * 100})
    assert read_json(path) == {"id": "old"}
    assert os.listdir(tmp_path) == ["state.json"]


@pytest.fixture
def three_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> range:
    """All there are, and holds of our own."""
    place = tmp_path / "run" / "ports"
    place.parent.mkdir(mode=0o700)
    monkeypatch.setattr(ports, "HOLDS", str(place))
    found = next(r for first in range(27000, 29000, 3) if all(map(ports.is_free, r := range(first, first + 3))))
    monkeypatch.setattr(ports, "PORTS", found)
    return found


def record(root: Path, port: int) -> str:
    (root / "acme").mkdir(parents=True)
    write_json(str(root / "acme" / "state.json"), {"port": port})
    return str(root / "acme")


def test_abstract_addresses_of_strangers_hold_nothing(tmp_path: Path, three_ports: range) -> None:
    """Any local account can bind them, without a right to anything."""
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(f"\0landlord-port-{three_ports[0]}")
        directory = record(tmp_path / "processes", three_ports[0])
        port, held = keeper.settled_port(directory, {"port": three_ports[0]})
        held.close()
    assert port == three_ports[0]


def test_where_every_port_is_held_the_search_ends(tmp_path: Path, three_ports: range) -> None:
    directory = record(tmp_path / "processes", three_ports[0])
    held = [ports.hold_port(port) for port in three_ports]
    with pytest.raises(OSError, match="no port between") as refused:
        keeper.settled_port(directory, {"port": three_ports[0]})
    assert refused.value.errno == errno.EADDRINUSE
    for one in held:
        assert one is not None
        one.close()
    keeper.settled_port(directory, {"port": three_ports[0]})[1].close()


def test_a_place_for_holds_that_others_may_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_place = tmp_path / "run"
    open_place.mkdir()
    open_place.chmod(0o777)
    monkeypatch.setattr(ports, "HOLDS", str(open_place / "ports"))
    with pytest.raises(PermissionError, match="open to other accounts"):
        ports.hold_port(20000)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(ports, "HOLDS", str(tmp_path / "link"))
    with pytest.raises(PermissionError):
        ports.hold_port(20000)


def test_states_are_those_that_are_whole(tmp_path: Path) -> None:
    record(tmp_path, 20001)
    for name in (".gone-1", "half", "empty"):
        (tmp_path / name).mkdir()
    write_json(str(tmp_path / ".gone-1" / "state.json"), {"port": 20002})
    (tmp_path / "half" / "state.json").write_text('{"port": 2')
    assert list(states(str(tmp_path))) == [{"port": 20001}]
    with Locked(str(tmp_path / ".lock")):
        assert list(states(str(tmp_path))) == [{"port": 20001}]
