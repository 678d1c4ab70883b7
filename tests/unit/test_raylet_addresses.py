"""Where workers may stand ready: on every machine that tenants' actors may begin on."""

import pytest

from actors import raylet
from controlplane.local.node import resource_of

FOUND = [
    {"NodeManagerAddress": "10.0.0.1", "NodeManagerPort": 1, "Alive": True, "Resources": {resource_of("first"): 1.0}},
    {"NodeManagerAddress": "10.0.0.2", "NodeManagerPort": 2, "Alive": True, "Resources": {resource_of("second"): 1.0}},
    {"NodeManagerAddress": "10.0.0.3", "NodeManagerPort": 3, "Alive": False, "Resources": {}},
    {"NodeManagerAddress": "10.0.0.4", "NodeManagerPort": 4, "Alive": True, "Resources": {"CPU": 2.0}},
]


@pytest.mark.parametrize(
    ("joined_only", "found"),
    [(True, ["10.0.0.1:1", "10.0.0.2:2"]), (False, ["10.0.0.1:1", "10.0.0.2:2", "10.0.0.4:4"])],
)
def test_ready_workers_stand_on_each_living_machine(
    monkeypatch: pytest.MonkeyPatch, joined_only: bool, found: list[str]
) -> None:
    monkeypatch.setattr("ray.nodes", lambda: FOUND)
    assert raylet.addresses(joined_only=joined_only) == found
