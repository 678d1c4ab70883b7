"""The circuit breaker, and the ceiling of live actors."""

from actors.supervisor.admission import ACTOR_BYTES, ceiling
from actors.supervisor.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker


def test_single_failures_do_not_open_it() -> None:
    breaker = Breaker()
    for now in range(FAILURES - 1):
        breaker.failed(now)
        assert breaker.allows(now)
    breaker.succeeded()
    breaker.failed(FAILURES)
    assert breaker.allows(FAILURES)


def test_it_opens_for_a_pause_that_grows_and_is_bounded() -> None:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(0.0)
    assert not breaker.allows(FIRST_PAUSE - 1)
    assert breaker.allows(FIRST_PAUSE)
    for _ in range(50):
        breaker.failed(0.0)
    assert not breaker.allows(LONGEST_PAUSE - 1)
    assert breaker.allows(LONGEST_PAUSE)


def test_the_ceiling_is_the_smaller_of_memory_and_connections() -> None:
    assert ceiling(100, memory_bytes=100 * 2**30) == 30
    assert ceiling(10_000, memory_bytes=40 * ACTOR_BYTES) == 30
    assert ceiling(10, memory_bytes=2**20) == 1
