"""Which ports go with a LANDLORD_PORT."""

import dataclasses
import socket

import pytest

from controlplane.errors import SettingsError
from controlplane.local.ports import EPHEMERAL, HIGHEST, LOWEST, Ports, derive_ports, is_free


def named(ports: Ports) -> list[int]:
    return list(dataclasses.asdict(ports).values())


def test_the_default_port_has_the_addresses_that_ray_users_know() -> None:
    ports = derive_ports(8000, free=lambda port: True)
    assert (ports.http, ports.dashboard, ports.client) == (8000, 8265, 10001)


def test_the_same_port_comes_back_to_the_same_ports() -> None:
    assert derive_ports(8000, free=lambda port: True) == derive_ports(8000, free=lambda port: True)


@pytest.mark.parametrize("http", [1, 80, 8000, 8001, 18100, 20005, 29990, 40000, 65535])
def test_all_differ_and_none_is_the_kernels(http: int) -> None:
    ports = named(derive_ports(http, free=lambda port: True))
    assert len(set(ports)) == len(ports)
    assert all(0 < port < EPHEMERAL for port in ports[1:])
    assert ports[-1] > ports[-2]


def test_neighbours_do_not_meet() -> None:
    one, two = (derive_ports(http, free=lambda port: True) for http in (8000, 8001))
    assert not set(range(one.gcs, one.ingress_last + 1)) & set(range(two.gcs, two.ingress_last + 1))
    assert not set(named(one)) & set(named(two))


def test_a_taken_port_moves_the_whole_block() -> None:
    first = derive_ports(8000, free=lambda port: True)
    second = derive_ports(8000, free=lambda port: port != first.metrics_export)
    assert not set(range(first.gcs, first.ingress_last + 1)) & set(range(second.gcs, second.ingress_last + 1))


def test_ports_that_replicas_had_a_moment_ago_move_nothing_unless_they_are_most() -> None:
    first = derive_ports(8000, free=lambda port: True)
    assert derive_ports(8000, free=lambda port: not first.ingress_first <= port < first.ingress_first + 4) == first
    assert derive_ports(8000, free=lambda port: not first.ingress_first <= port < first.ingress_last - 2) != first


def test_a_taken_dashboard_port_falls_back_into_the_block() -> None:
    ports = derive_ports(8000, free=lambda port: port != 8265)
    assert LOWEST <= ports.dashboard < HIGHEST
    assert ports.client == 10001


def test_no_free_block_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(SettingsError, match="LANDLORD_PORT"):
        derive_ports(8000, free=lambda port: False)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_somebody_listens_on_is_not_free(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        assert not is_free(server.getsockname()[1])
    assert is_free(server_port := _unused()), server_port


def _unused() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
