"""The ceiling of live actors: by memory, and by the database's connections."""

import pytest

from actors.options import CONNECTIONS_PER_ACTOR
from actors.supervisor.admission import ACTOR_BYTES, ceiling
from actors.supervisor.reserve import reserved
from controlplane.local.postgres import OPTIONS

PLENTY = 1000 * 2**30


def test_it_is_the_smaller_of_memory_and_connections() -> None:
    assert ceiling(100, 40, memory_bytes=PLENTY) == 60
    assert ceiling(10_000, 40, memory_bytes=40 * ACTOR_BYTES) == 30
    assert ceiling(10, 40, memory_bytes=2**20) == 1


def test_clusters_on_one_database_divide_its_connections() -> None:
    assert 2 * CONNECTIONS_PER_ACTOR * ceiling(250, 57, clusters=2, memory_bytes=PLENTY) + 2 * 57 <= 250
    assert ceiling(100, 57, clusters=3, memory_bytes=PLENTY) == 1


@pytest.mark.parametrize(
    ("engines", "connections"),
    [
        ([], 2 * 2 * 11 + 5 + 3 + 5),
        (["embedded", "restate"], 57 + 2 * 7),
        (["embedded", "restate", "stepfunctions"], 57 + 2 * 7 + 2 * 5),
    ],
)
def test_what_is_kept_for_everything_else(engines: list[str], connections: int) -> None:
    """Replicas twice, while `up` deploys them again; their listeners; the supervisor; superusers; people."""
    assert reserved(engines) == connections
    assert reserved(engines, machines=3) == connections + 2 * (2 * 2 * 11)


def test_the_embedded_postgres_has_connections_for_eighty_actors_beside_every_engine() -> None:
    everything = reserved(["restate", "stepfunctions"])
    assert ceiling(int(OPTIONS["max_connections"]), everything, memory_bytes=PLENTY) >= 80
