"""When an owner leaves because its turns fail, for how long, and when that is over."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from controlplane.lifecycle.decisions import Decision, Heal, Passivate
from controlplane.lifecycle.owner_state import OwnerState
from controlplane.lifecycle.poison import ANY_IN_A_ROW, LONGEST_PAUSE, SAME_IN_A_ROW, Failing, pause, well
from controlplane.model import ExecutionState
from controlplane.persistence import outage
from tests.unit.builders import FINE, NOW, execution, placement, rows, served


def failed(*points: str) -> Failing:
    failing = Failing()
    for point in points:
        failing = failing.again(point, "KeyError")
    return failing


def test_it_leaves_after_some_failures_of_one_kind() -> None:
    assert not failed(*["Heal"] * (SAME_IN_A_ROW - 1)).leaves(wanted=False, woken=False)
    assert failed(*["Heal"] * SAME_IN_A_ROW).leaves(wanted=False, woken=False)


def test_failures_that_take_turns_end_as_well() -> None:
    points = ["Heal", "load"] * ANY_IN_A_ROW
    assert not failed(*points[: ANY_IN_A_ROW - 1]).leaves(wanted=False, woken=False)
    assert failed(*points[:ANY_IN_A_ROW]).leaves(wanted=False, woken=False)


def test_it_looks_at_news_first_but_not_for_ever() -> None:
    assert not failed(*["Heal"] * SAME_IN_A_ROW).leaves(wanted=False, woken=True)
    assert failed(*["Heal"] * ANY_IN_A_ROW).leaves(wanted=False, woken=True)


def test_it_leaves_soon_if_its_place_is_wanted() -> None:
    assert not failed("Heal").leaves(wanted=True, woken=False)
    assert failed("Heal", "Heal").leaves(wanted=True, woken=False)


def test_the_pauses_grow_up_to_some_minutes() -> None:
    pauses = [pause(departures) for departures in range(1, 2000)]
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses == sorted(pauses)
    assert max(pauses) == LONGEST_PAUSE <= 300


def test_it_is_over_when_nothing_is_left_that_could_fail() -> None:
    owner, first = served()
    rest, seen = Decision(None, 1.0), OwnerState(finding=FINE)
    there = rows(owner, first, placements=(placement(first),))
    assert well(there, seen, rest, busy=False)
    assert well(there, seen, Decision(Passivate()), busy=False)
    assert not well(there, seen, rest, busy=True)
    assert not well(there, seen, Decision(Heal(first, "")), busy=False)
    assert not well(there, OwnerState(), rest, busy=False)  # it has not looked
    assert not well(there, OwnerState(finding=FINE, look_due=NOW), rest, busy=False)  # its look failed
    leftover = execution(ExecutionState.FAILED, generation=2)
    assert not well(
        rows(owner, first, leftover, placements=(placement(first), placement(leftover))), seen, rest, busy=False
    )
    assert not well(rows(owner, first, execution(generation=2)), seen, rest, busy=False)


def database_error(kind: type[Exception], statement: str | None = "UPDATE") -> DBAPIError:
    return DBAPIError(statement, None, kind("text"))


@pytest.mark.parametrize(
    "error",
    [
        OSError("refused"),
        TimeoutError(),
        PoolTimeout("none free"),
        database_error(asyncpg.AdminShutdownError),
        database_error(asyncpg.ReadOnlySQLTransactionError),
        database_error(asyncpg.DiskFullError),
        database_error(asyncpg.DeadlockDetectedError),
        database_error(asyncpg.QueryCanceledError),
        database_error(asyncpg.ConnectionDoesNotExistError),
        database_error(asyncpg.CannotConnectNowError, statement=None),
    ],
    ids=lambda error: type(getattr(error, "orig", error)).__name__,
)
def test_a_database_that_is_away_is_waited_for(error: Exception) -> None:
    assert outage.passes(error)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        database_error(asyncpg.CharacterNotInRepertoireError),
        database_error(asyncpg.UniqueViolationError),
        database_error(asyncpg.RaiseError),
        database_error(asyncpg.UndefinedColumnError),
    ],
    ids=lambda error: type(getattr(error, "orig", error)).__name__,
)
def test_what_fails_each_time_is_not(error: Exception) -> None:
    assert not outage.passes(error)
