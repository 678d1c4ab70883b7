"""`landlord up --foreground`: what it takes for dead, and what it does then."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.errors import SettingsError, Unavailable
from controlplane.local.foreground import LONGEST_PAUSE, LOOK_SECONDS, Foreground, dead, notify
from controlplane.local.installation import Component

API, HEAD, POSTGRES = (Component(name, True, "there", 7) for name in ("api", "ray head", "postgres"))
WELL = [API, HEAD, POSTGRES]
HEADLESS = [Component("api", False, "there"), Component("ray head", False, "there", detail="no raylet"), POSTGRES]


class World:
    """Looks come from a list; the end of the list is the end of the loop."""

    def __init__(
        self, *looks: list[Component], refusals: int = 0, how: type[Exception] | Exception | None = None
    ) -> None:
        self.looks = iter(looks)
        self.refusals = refusals
        self.how = how or Unavailable("the database does not answer")
        self.ups = 0
        self.said: list[str] = []
        self.pauses: list[float] = []
        self.now: list[Component] = []

    def bring_up(self) -> None:
        self.ups += 1
        if self.ups > 1 and self.refusals:
            self.refusals -= 1
            raise self.how

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        found = next(self.looks, None)
        self.now = found or []
        return found is None

    def run(self) -> "World":
        Foreground(self.bring_up, lambda: self.now, self.said.append, self.wait).run()
        return self


def test_it_looks_and_lets_what_runs_be() -> None:
    world = World(WELL, WELL, WELL).run()
    assert (world.ups, world.said, set(world.pauses)) == (1, [], {LOOK_SECONDS})


def test_a_part_that_is_dead_twice_in_a_row_is_started_again() -> None:
    world = World(HEADLESS, WELL, HEADLESS, HEADLESS, WELL).run()
    assert world.ups == 2
    assert world.said == ["ray head is down: no raylet; starting it again"]


def test_a_start_that_is_refused_is_tried_again_with_growing_pauses() -> None:
    world = World(*[HEADLESS] * 8, WELL, refusals=6).run()
    assert world.ups == 1 + 7
    assert world.pauses[2:8] == [10, 20, 40, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert world.pauses[-1] == LOOK_SECONDS


@pytest.mark.parametrize("how", [TimeoutError(), OSError("no space left on device")], ids=repr)
def test_it_stays_whatever_a_start_fails_with(how: Exception) -> None:
    world = World(HEADLESS, HEADLESS, HEADLESS, WELL, refusals=1, how=how).run()
    assert world.ups == 3
    assert world.said[1] == f"{str(how) or 'TimeoutError'}; trying again in 10 s"


def test_the_first_start_is_for_a_person() -> None:
    def refuse() -> None:
        raise SettingsError("LANDLORD_PORT: 8000 is in use")

    with pytest.raises(SettingsError):
        Foreground(refuse, list, print, lambda _: True).run()


@pytest.mark.parametrize(
    ("components", "trouble"),
    [
        (WELL, None),
        ([Component("api", False, "there", 7, "database: no answer"), HEAD, POSTGRES], None),
        ([Component("api", False, "there", None, "no answer"), HEAD], "api is down: no answer"),
        ([API, HEAD, Component("postgres", False, "there")], "postgres is down"),
        ([API, HEAD, Component("dashboard", False, "there")], None),
        ([API, POSTGRES], "nothing runs"),
        ([Component("ray node", True, "there", 7)], None),
        ([Component("ray node", False, "there", detail="no raylet")], "ray node is down: no raylet"),
    ],
)
def test_what_is_dead(components: list[Component], trouble: str | None) -> None:
    assert dead(components) == trouble


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_systemd_is_told(systemd: socket.socket) -> None:
    World().run()
    assert systemd.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
