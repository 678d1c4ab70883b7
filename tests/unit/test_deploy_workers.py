"""Which machines `deploy/workers.py` launches, on providers that launch none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.node_launch_exception import NodeLaunchException

from deploy.workers import LISTED_SECONDS, launch

CONFIG = {
    "cluster_name": "c",
    "available_node_types": {
        "head": {"min_workers": 0, "node_config": {}},
        "worker": {"min_workers": 2, "node_config": {"ImageId": "one"}},
        "other": {"min_workers": 1, "node_config": {"ImageId": "two"}},
    },
}


class Provider:
    """It lists nothing for `late` looks after a launch. `room`: so many can be launched."""

    def __init__(self, room: int = 9, late: int = 0) -> None:
        self.room = room
        self.late = late
        self.machines: list[dict[str, str]] = []
        self.launched: list[str] = []

    def non_terminated_nodes(self, tags: dict[str, str]) -> Sequence[str]:
        if len(self.launched) == 3 and self.late:
            self.late -= 1
            return []
        return [str(place) for place, its in enumerate(self.machines) if tags.items() <= its.items()]

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        assert (tags["ray-node-type"], tags["ray-node-name"], count) == ("worker", "ray-c-worker", 1)
        if len(self.launched) == self.room:
            raise NodeLaunchException("InsufficientInstanceCapacity", "there is no room", None)
        self.launched.append(node_config["ImageId"])
        self.machines.append(tags)


def never(seconds: float) -> None:
    pytest.fail("it waits")


def test_each_kind_gets_what_it_lacks() -> None:
    provider = Provider()
    assert launch(CONFIG, provider, never) == ["0", "1", "2"]
    assert provider.launched == ["one", "one", "two"]


def test_what_is_there_is_not_launched_again() -> None:
    provider = Provider()
    launch(CONFIG, provider, never)
    del provider.machines[0]
    provider.launched.clear()
    assert launch(CONFIG, provider, never) == ["0", "1", "2"]
    assert provider.launched == ["one"]


def test_one_kind_does_not_stand_in_for_another() -> None:
    provider = Provider()
    provider.machines = [{"ray-node-type": "worker", "ray-user-node-type": "other"} for _ in range(3)]
    assert len(launch(CONFIG, provider, never)) == 5
    assert provider.launched == ["one", "one"]


def test_a_machine_may_be_listed_later() -> None:
    slept: list[float] = []
    assert launch(CONFIG, Provider(late=4), slept.append) == ["0", "1", "2"]
    assert slept


def test_it_says_what_is_never_listed() -> None:
    slept: list[float] = []
    with pytest.raises(SystemExit, match="what was launched is not listed"):
        launch(CONFIG, Provider(late=1000), slept.append)
    assert sum(slept) == LISTED_SECONDS


def test_it_says_what_cannot_be_launched() -> None:
    with pytest.raises(SystemExit, match="no other can be launched: there is no room"):
        launch(CONFIG, Provider(room=2), never)


# Ray does not close the files that it reads.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_over_ssh_it_is_each_machine_of_worker_ips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By Ray's own provider, as the head has it: it has seen none of them."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    names = ["one.internal", "two.internal"]
    given = {"type": "local", "head_ip": "head.internal", "worker_ips": names}
    config = prepare_config({"cluster_name": "c", "provider": given})
    for _ in range(2):
        assert launch(config, _get_node_provider(config["provider"], "c", use_cache=False), never) == names
