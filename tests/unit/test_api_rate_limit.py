"""The bucket: bursts, refill, and what a refused request is told."""

from uuid import UUID

from controlplane.api.rate_limit import RateLimit

ONE, TWO = UUID(int=1), UUID(int=2)


def test_a_burst_and_then_as_fast_as_it_fills() -> None:
    limit = RateLimit(60)
    assert [limit.take(ONE, 0.0)[0] for _ in range(11)] == [True] * 10 + [False]
    allowed, allowance = limit.take(ONE, 0.5)
    assert not allowed
    assert allowance.headers() == {"RateLimit-Limit": "10", "RateLimit-Remaining": "0", "RateLimit-Reset": "1"}
    assert limit.take(ONE, 1.0)[0]
    assert not limit.take(ONE, 1.1)[0]
    assert limit.take(TWO, 1.1)[0]
    assert [limit.take(ONE, 1000.0)[0] for _ in range(11)] == [True] * 10 + [False]


def test_off_by_default() -> None:
    assert not RateLimit(None).on
