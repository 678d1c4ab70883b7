"""The contract of a compute provider whose platform takes calls and answers none, as tests to mix in, or by themselves.

    class TestMineIsSilent(SilentPlatformConformance):
        @pytest_asyncio.fixture
        async def silent(self): ...

For every provider that reaches its platform over a connection.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from controlplane.errors import Unavailable
from controlplane.ports import ComputeProvider, FollowsLogs, ProvidesLogs
from providers.conformance.compute_bench import desire

PATIENCE = 0.2
"""Seconds after which the caller gives a look up."""
AT_ONCE = 5.0
"""Far less than any time-out of an SDK, and enough for a machine that is busy."""


@pytest.mark.asyncio
class SilentPlatformConformance:
    """Bring the fixture `silent`: a ComputeProvider whose platform accepts connections and never answers, such as a
    socket that listens and that nobody reads."""

    unknown_id: str = "none"
    """Of no resource, in the form that the platform's ids have."""
    rounds: int = 8
    """Each look is given up so often: more often than the provider has threads for all looks."""

    async def test_each_look_can_be_given_up(self, silent: ComputeProvider) -> None:
        """The caller has control at once, however many looks hang already."""
        for _ in range(self.rounds):
            for look in self._looks(silent):
                began = time.monotonic()
                with pytest.raises((TimeoutError, Unavailable)):
                    async with asyncio.timeout(PATIENCE):
                        await look()
                assert time.monotonic() - began < AT_ONCE

    async def test_it_says_nothing_good_of_its_health(self, silent: ComputeProvider) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                health = await silent.health()
        except TimeoutError:
            pass  # who asks says how long it has been silent
        else:
            assert not health.healthy
            assert health.detail
        assert time.monotonic() - began < AT_ONCE

    def _looks(self, silent: ComputeProvider) -> list[Callable[[], Awaitable[object]]]:
        origin = desire("an-owner", {}).origin
        looks: list[Callable[[], Awaitable[object]]] = [
            silent.identity,
            lambda: silent.observe(origin),
            lambda: silent.inspect(self.unknown_id),
            lambda: silent.list_owned("an-owner"),
        ]
        if isinstance(silent, ProvidesLogs):
            logs = silent.logs
            looks.append(lambda: logs(self.unknown_id, 10))
        if isinstance(silent, FollowsLogs):
            logs_after = silent.logs_after
            looks.append(lambda: logs_after(self.unknown_id, None, 10))
        return looks
