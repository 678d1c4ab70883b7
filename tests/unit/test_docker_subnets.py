"""Which subnet a tenant's network gets."""

import time
from ipaddress import IPv4Network
from itertools import pairwise
from pathlib import Path

from providers.compute.docker.subnets import SubnetPool, host_routes

POOL = SubnetPool(["10.213.0.0/16"])


def test_four_thousand_tenants_get_a_subnet_each_and_then_there_is_none() -> None:
    assert len(POOL) == 4096
    full = list(POOL.free([], start=0))
    assert len(set(full)) == 4096
    assert all(subnet.prefixlen == 28 for subnet in full)
    assert next(POOL.free(full, start=17), None) is None
    assert list(POOL.free(full[:7] + full[8:], start=4000)) == [full[7]], "the one that came free is found"


def test_no_two_of_those_who_ask_one_after_the_other_overlap() -> None:
    taken: list[IPv4Network] = []
    for tenant in range(500):
        taken.append(next(POOL.free(taken, start=tenant * tenant * 104729)))
    ordered = sorted(taken)
    assert all(before.broadcast_address < after.network_address for before, after in pairwise(ordered))


def test_what_others_have_is_left_out_whatever_its_size() -> None:
    pool = SubnetPool(["10.213.0.0/26", "192.168.7.0/28"])
    first, second, third, fourth, fifth = pool.free([], start=0)
    assert str(fifth) == "192.168.7.0/28"
    assert list(pool.free([], start=3)) == [fourth, fifth, first, second, third]
    assert list(pool.free([IPv4Network("10.213.0.16/30")], start=0)) == [first, third, fourth, fifth]
    assert list(pool.free([IPv4Network("10.213.0.0/27"), third], start=0)) == [fourth, fifth]
    assert list(pool.free([IPv4Network("10.0.0.0/8"), first], start=2)) == [fifth]
    assert list(pool.free([IPv4Network("0.0.0.0/0")], start=2)) == []
    assert list(pool.free([IPv4Network("172.17.0.0/16")], start=0)) == [first, second, third, fourth, fifth]


def test_a_pool_of_sixteen_million_addresses_is_no_slower() -> None:
    pool = SubnetPool(["10.0.0.0/8"])
    began = time.process_time()
    for start in range(0, len(pool), 10_000):
        next(pool.free([IPv4Network("10.0.0.0/12"), IPv4Network("10.64.3.0/24")], start))
    assert time.process_time() - began < 1


def test_the_routes_of_this_machine(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert host_routes(table) == [IPv4Network("10.213.0.0/16")], "the default route takes nothing"
    assert host_routes(tmp_path / "none") == []
