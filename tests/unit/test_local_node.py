"""The name of this machine among the nodes of its cluster."""

import socket

import pytest

from actors.nodes import SHARE, on
from controlplane.errors import SettingsError
from controlplane.local.node import node_name, resource_of
from controlplane.settings import Settings, load_settings


def test_it_is_the_settings_or_the_machines_own() -> None:
    assert node_name(Settings(node_name="blue-1.rack_2")) == "blue-1.rack_2"
    assert node_name(Settings()) == socket.gethostname()[:63]


@pytest.mark.parametrize(("host", "name"), [("_a b.lan.", "a-b.lan"), ("x" * 62 + "..y", "x" * 62), ("", "node")])
def test_what_cannot_be_in_a_name_is_left_out(monkeypatch: pytest.MonkeyPatch, host: str, name: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert node_name(Settings()) == name


@pytest.mark.parametrize("wrong", ["-a", "a-", "a b", "a:b", "x" * 64])
def test_a_name_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="LANDLORD_NODE_NAME"):
        load_settings({"LANDLORD_NODE_NAME": wrong})


def test_an_actor_is_put_on_a_node_by_its_resource() -> None:
    assert on("blue") == {"resources": {resource_of("blue"): SHARE}}
