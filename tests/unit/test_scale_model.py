"""The simulation of large fleets: its stations bound what they must, and the page says what it prints."""

from dataclasses import replace

import pytest

from actors.options import CONNECTIONS_PER_ACTOR
from actors.supervisor.admission import ceiling
from actors.supervisor.reserve import reserved
from benchmarks.scale_model import (
    CORES,
    EVENTS,
    GCS,
    PER_ACTOR,
    RESERVE,
    SUPERVISOR,
    Burst,
    Costs,
    Fleet,
    at_rest,
    burst,
    bursts,
    largest_cell,
)
from tests.pages import DOCS

FREE = Costs(turn=0, supervisor=0, gcs=0, cores=0)
RUNS = 500


def run(fleet: Fleet, **costs: float) -> Burst:
    return burst(fleet, RUNS, replace(FREE, **costs))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("station", "costs", "rate"),
    [
        (CORES, {"cores": 0.5}, 32 / 0.5),
        (EVENTS, {"turn": 0.01}, 1 / 0.1),
        (SUPERVISOR, {"supervisor": 0.05}, 20),
        (GCS, {"gcs": 0.1}, 10),
    ],
)
def test_a_single_cost_bounds_the_rate(station: str, costs: dict[str, float], rate: float) -> None:
    found = run(Fleet(machines=2, cores=16), **costs)
    assert found.bound == station
    assert found.rate == pytest.approx(rate, rel=0.05)


def test_who_has_no_place_waits_for_one() -> None:
    """With two places, whatever waits on the lock keeps the cores idle: nothing is ever done three at a time."""
    few = Fleet(machines=2, cores=16, connections=RESERVE + 2 * PER_ACTOR)
    assert few.places == 2
    found = run(few, cores=0.5, turn=0.001)
    assert found.rate == pytest.approx(2 / 0.51, rel=0.05)


def test_places_are_counted_as_the_supervisor_does() -> None:
    assert (reserved(()), CONNECTIONS_PER_ACTOR) == (RESERVE, PER_ACTOR)
    fleet = Fleet(machines=1)
    assert fleet.places == ceiling(fleet.connections, RESERVE, memory_bytes=fleet.memory)
    many = Fleet(machines=100)
    assert many.places == ceiling(many.connections, RESERVE, memory_bytes=100 * many.memory)


def test_machines_help_until_something_else_ends_first() -> None:
    costs = replace(Costs(), turn=0.001)
    rates = [burst(Fleet(machines), RUNS, costs).rate for machines in (1, 3, 10)]
    assert rates[0] < rates[1]
    assert rates[1] == pytest.approx(rates[2], rel=0.02)
    assert rates[2] <= 1 / costs.gcs


def test_the_page_has_the_tables_and_the_size_of_a_cell() -> None:
    page = (DOCS / "design" / "large-fleets.md").read_text()
    assert bursts(Costs()) in page
    assert at_rest(Costs()) in page
    assert f"some {round(largest_cell(Costs()), -3):,} tenants with an HTTP probe" in " ".join(page.split())
