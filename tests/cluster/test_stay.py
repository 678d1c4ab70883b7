"""`landlord node join --foreground`: a machine stays in its cluster by itself, as systemd has it."""

import pytest

from tests.cluster.conftest import TOKEN
from tests.cluster.members import Member, invited
from tests.cluster.waiting import nodes, until
from tests.processes import kill

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(1200)]

AGAIN_SECONDS = 240
LEFT_SECONDS = 60


def raylets(member: Member) -> list[int]:
    return [one.pid for one in member.machine.processes() if one.name() == "raylet"]


def test_a_machine_joins_again_by_itself_and_leaves_when_it_is_told(members: tuple[Member, Member]) -> None:
    first, second = members
    first.run("up")
    said = second.machine.directory / "said"
    words = ("node", "join", first.machine.address, "--invitation", str(invited(first, second)), "--foreground")
    staying = second.start(*words, said=said)
    with first.http(first.home / "nodes" / "ca.pem", TOKEN) as client:

        def joined(*before: int) -> list[int]:
            found = nodes(client).get("second")
            assert staying.poll() is None, said.read_text()
            return [pid for pid in raylets(second) if pid not in before] if found and found["alive"] else []

        one = until(joined, "it has joined", AGAIN_SECONDS)
        until(lambda: "This machine has joined" in said.read_text(), "it says so", AGAIN_SECONDS)

        kill([process for process in second.machine.processes() if process.name() == "raylet"])
        two = until(lambda: joined(*one), "its raylet died, and it has joined again", AGAIN_SECONDS)
        until(lambda: said.read_text().count("This machine has joined") == 2, "it says so", AGAIN_SECONDS)

        second.machine.cut()
        until(lambda: not nodes(client)["second"]["alive"], "it is dead to the head")
        second.machine.mend()
        until(lambda: joined(*one, *two), "it was dead to the head, and has joined again", AGAIN_SECONDS)
        until(lambda: said.read_text().count("This machine has joined") == 3, "it says so", AGAIN_SECONDS)

        staying.terminate()
        assert staying.wait(LEFT_SECONDS) == 0, said.read_text()
        assert "This machine has left the cluster" in said.read_text()
        assert raylets(second) == []
        until(lambda: not nodes(client)["second"]["alive"], "it has left")
    first.run("down")
