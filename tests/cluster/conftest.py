"""A Postgres on a machine of its own, and machines that may become one cluster."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.machines import Machine, Network, running_network
from tests.cluster.members import Member
from tests.cluster.servers import MachineEngine, Redis, running_engine, running_postgres
from tests.postgres import DebianServer

TOKEN = "one-admin-token-for-the-whole-cluster"
PORT = 8000


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    # Ray's paths are long, and the control plane's code may lie anywhere.
    directory = Path(tempfile.mkdtemp(prefix="ll-m"))
    with contextlib.ExitStack() as left:
        left.callback(shutil.rmtree, directory, ignore_errors=True)
        yield left.enter_context(running_network(directory))


@pytest.fixture(scope="module")
def shared(network: Network) -> Machine:
    """The machine of what all the others use: Postgres, and what else a test asks for."""
    return network.machine("database")


@pytest.fixture(scope="module")
def engine(shared: Machine) -> Iterator[MachineEngine]:
    """One Docker Engine for all machines."""
    with running_engine(shared) as running:
        yield running


@pytest.fixture(scope="module")
def redis(shared: Machine) -> Iterator[Redis]:
    with Redis(shared).running() as running:
        yield running


@pytest.fixture(scope="module")
def server(shared: Machine) -> Iterator[DebianServer]:
    with running_postgres(shared) as running:
        yield running


@pytest.fixture(scope="module")
def machines(network: Network) -> tuple[Machine, Machine]:
    return network.machine("first"), network.machine("second")


@pytest.fixture(scope="module")
def members(machines: tuple[Machine, Machine], server: DebianServer) -> tuple[Member, Member]:
    """Nothing runs yet."""
    url = server.url(host=server.address, sslmode="require")
    settings = {"LANDLORD_DATABASE_URL": url, "LANDLORD_COMPUTE_PROVIDERS": "fake"}
    first, second = (Member(machine, PORT, LANDLORD_ADMIN_TOKEN=TOKEN, **settings) for machine in machines)
    return first, second
