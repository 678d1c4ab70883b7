"""How many replicas of the API Serve is told to keep, and when."""

from typing import Any

import pytest

from actors import nodes
from actors.nodes import Node
from actors.options import API, APPLICATION, REPLICAS
from actors.supervisor.replicas import Replicas
from tests.integration.named_actors import Handle


class Controller:
    """Serve's. `running`: the machines of its running replicas, as it knows them."""

    def __init__(self, *running: str) -> None:
        self.running = running
        self.told: list[int] = []

    async def get_serve_instance_details(self) -> dict[str, Any]:
        replicas = [{"node_id": node, "state": "RUNNING"} for node in self.running]
        replicas.append({"node_id": None, "state": "STARTING"})  # type: ignore[dict-item]
        return {"applications": {APPLICATION: {"deployments": {API: {"replicas": replicas}}}}}

    async def update_deployment_replicas(self, deployment: object, number: int) -> None:
        self.told.append(number)


def machine(name: str, *, alive: bool = True) -> Node:
    return Node(name, name, "10.0.0.1", alive=alive, head=name == "a", labels={})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Serve's, at its import
async def test_a_machine_that_has_gone_costs_no_other_one_its_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve would choose among all that it counts, the dead ones included."""
    controller, known = Controller("a", "b", "c"), [machine("a"), machine("b"), machine("c")]
    monkeypatch.setattr("ray.get_actor", lambda *_, **__: Handle(controller))
    monkeypatch.setattr(nodes, "known", lambda: known)
    replicas = Replicas()
    assert await replicas.fit() == 3 * REPLICAS
    known[2] = machine("c", alive=False)
    assert await replicas.fit() == 3 * REPLICAS
    assert controller.told == [3 * REPLICAS]
    controller.running = ("a", "b")
    assert await replicas.fit() == 2 * REPLICAS
    assert await replicas.fit() == 2 * REPLICAS
    assert controller.told == [3 * REPLICAS, 2 * REPLICAS]


async def test_without_an_application_the_next_sweep_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise ValueError

    monkeypatch.setattr(nodes, "known", lambda: [machine("a")])
    monkeypatch.setattr("ray.get_actor", nobody)
    assert await Replicas().fit() == 0
