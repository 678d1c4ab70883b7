"""The circuit breaker."""

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
