"""The contract of each capability of a compute provider, as tests to mix in.

    class TestMine(ComputeConformance, LogsConformance, NoExecProbesConformance): ...

`ComputeConformance` fails if the mixed-in tests are not those of the provider's capabilities. They use its fixtures.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import cycle
from typing import Any
from uuid import UUID, uuid4

import pytest

from controlplane.errors import LandlordError, Unavailable, Unsupported
from controlplane.model import HealthSpec
from controlplane.ports import (
    ComputeProvider,
    DesiredResource,
    FollowsLogs,
    KeepsBelongings,
    ListsBelongings,
    LogPart,
    ProvidesLogs,
    Ran,
    Resource,
    RunsCommands,
)
from providers.conformance.compute_bench import SETTLE_SECONDS, Gate, desire

Belongings = Callable[[str, UUID], Awaitable[Sequence[str]]]
"""The tenant's belongings on the platform besides its resources, read behind the provider's back."""

FOLLOWED = re.compile(r"[A-Za-z0-9.-]{1,64}")


@pytest.mark.asyncio
class LogsConformance:
    """Tests of ProvidesLogs."""

    async def test_logs_are_text(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        assert isinstance(provider, ProvidesLogs)
        resource = await provider.apply(desired, Gate(True))
        assert isinstance(await provider.logs(resource.id, 10), str)
        await provider.destroy(resource.id)
        assert await provider.logs(resource.id, 10) == ""


@pytest.mark.asyncio
class FollowsLogsConformance:
    """Tests of FollowsLogs. Bring the fixture `counting_config`: what runs writes the lines 1, 2, 3 and so on, each
    some milliseconds after the one before."""

    async def test_each_line_is_told_once(
        self, provider: ComputeProvider, another: ComputeProvider, installation_id: str, counting_config: Any
    ) -> None:
        """From wherever a reader begins, and whichever process it asks."""
        assert isinstance(provider, FollowsLogs)
        assert isinstance(another, FollowsLogs)
        resource = await provider.apply(desire(installation_id, counting_config), Gate(True))
        told = ""
        position: str | None = None
        async with asyncio.timeout(SETTLE_SECONDS):
            for asked in cycle((provider, another)):
                part = await asked.logs_after(resource.id, position, 3)
                told, position = told + part.text, part.position
                assert FOLLOWED.fullmatch(position)
                if told.count("\n") > 100:
                    break
                await asyncio.sleep(0.05)
        assert position is not None
        numbers = [int(line) for line in told.split("\n")[:-1]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert (await provider.logs_after(resource.id, "no position", 2)).text.count("\n") <= 2
        await provider.destroy(resource.id)
        assert await provider.logs_after(resource.id, position, 3) == LogPart("", position)
        assert (await provider.logs_after(resource.id, None, 3)).text == ""


@pytest.mark.asyncio
class CommandsConformance:
    """Tests of RunsCommands, of a resource with a shell and with `sleep` and `head`."""

    async def test_a_command_ends_with_its_output_and_code(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        assert isinstance(provider, RunsCommands)
        resource = await provider.apply(desired, Gate(True))
        ran = await provider.run_command(resource.id, ["sh", "-c", "echo out; echo err >&2; exit 7"], 15)
        assert (ran.exit_code, sorted(ran.output.splitlines()), ran.cut) == (7, ["err", "out"], False)
        # Words are words: no shell is around them.
        assert await provider.run_command(resource.id, ["echo", "$HOME; *"], 15) == Ran(0, "$HOME; *\n")
        missing = await provider.run_command(resource.id, ["no-such-program"], 15)
        assert missing.exit_code in (126, 127)
        await provider.destroy(resource.id)
        with pytest.raises(LandlordError):
            await provider.run_command(resource.id, ["true"], 15)

    async def test_one_that_does_not_end_is_left_with_what_it_wrote(
        self, provider: ComputeProvider, desired: DesiredResource
    ) -> None:
        assert isinstance(provider, RunsCommands)
        resource = await provider.apply(desired, Gate(True))
        assert await self._left(provider, resource, ["sh", "-c", "echo begun; sleep 60"]) == Ran(None, "begun\n")
        endless = await provider.run_command(resource.id, ["sh", "-c", "while echo again; do :; done"], 15)
        assert endless.cut  # it may have ended, since nobody reads any more what it writes
        assert 0 < len(endless.output) <= 1 << 20
        await provider.destroy(resource.id)

    async def _left(self, provider: RunsCommands, resource: Resource, command: Sequence[str]) -> Ran | None:
        """One that wrote something before it was left; a slow machine takes some seconds to begin."""
        ran = None
        for seconds in (2, 8, 15):
            with suppress(Unavailable):
                ran = await provider.run_command(resource.id, command, seconds)
                if ran.output:
                    break
        return ran


@pytest.mark.asyncio
class ExecProbesConformance:
    """Tests of RunsExecProbes. Bring the fixtures `good_command` and `bad_command`: commands that run with
    `good_config` and end with 0 and with another code."""

    async def test_the_platform_runs_the_command_and_gives_its_verdict(
        self, provider: ComputeProvider, desired: DesiredResource, good_command: list[str], bad_command: list[str]
    ) -> None:
        for command, verdict in ((good_command, "healthy"), (bad_command, "unhealthy")):
            health = HealthSpec.model_validate({"exec": {"command": command}, "interval_seconds": 0.2})
            provider.validate(desired.config, health)
            probed = replace(desire(desired.origin.installation_id, desired.config), health=health)
            await self._seen_as(provider, await provider.apply(probed, Gate(True)), verdict)

    async def _seen_as(self, provider: ComputeProvider, resource: Resource, verdict: str) -> None:
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                found = await provider.inspect(resource.id)
                assert found is not None
                if found.platform_health == verdict:
                    break
                await asyncio.sleep(0.1)
        (listed,) = await provider.list_owned(resource.origin.installation_id, resource.origin.tenant_id)
        assert listed.platform_health == verdict


@pytest.mark.asyncio
class NoExecProbesConformance:
    """Tests of a provider without RunsExecProbes: it refuses a probe that would never run."""

    async def test_exec_probes_are_unsupported(self, provider: ComputeProvider, desired: DesiredResource) -> None:
        health = HealthSpec.model_validate({"exec": {"command": ["true"]}})
        with pytest.raises(Unsupported) as refused:
            provider.validate(desired.config, health)
        assert [error["loc"] for error in refused.value.errors] == ["health.exec"]
        assert all(error["message"] for error in refused.value.errors)
        with pytest.raises(Unsupported):
            await provider.apply(replace(desired, health=health), Gate(True))
        assert await provider.list_owned(desired.origin.installation_id) == []


@pytest.mark.asyncio
class BelongingsConformance:
    """Tests of KeepsBelongings. Bring the fixtures `keeping_config`, a good config that leaves something beyond the
    resource, and `belongings`, a Belongings."""

    async def test_forget_of_nothing_succeeds(self, provider: ComputeProvider, installation_id: str) -> None:
        assert isinstance(provider, KeepsBelongings)
        for _ in range(2):
            await provider.forget(installation_id, uuid4())

    async def test_what_outlives_the_resource_goes_by_forget_and_no_other_tenants(
        self,
        provider: ComputeProvider,
        another: ComputeProvider,
        installation_id: str,
        keeping_config: Mapping[str, Any],
        belongings: Belongings,
    ) -> None:
        assert isinstance(another, KeepsBelongings)
        mine, others = desire(installation_id, keeping_config), desire(installation_id, keeping_config)
        tenant_id, other_id = mine.origin.tenant_id, others.origin.tenant_id
        for desired in (mine, others):
            resource = await provider.apply(desired, Gate(True))
            await provider.destroy(resource.id)
        kept, kept_of_others = await belongings(installation_id, tenant_id), await belongings(installation_id, other_id)
        assert kept
        assert kept_of_others
        if isinstance(another, ListsBelongings):
            assert set(await another.tenants_with_belongings(installation_id)) == {tenant_id, other_id}
        await another.forget(f"test-{uuid4()}", tenant_id)
        assert await belongings(installation_id, tenant_id) == kept, "another owner's word does not count"
        await asyncio.gather(*(another.forget(installation_id, tenant_id) for _ in range(2)))
        await another.forget(installation_id, tenant_id)
        assert await belongings(installation_id, tenant_id) == []
        assert await belongings(installation_id, other_id) == kept_of_others
        await another.forget(installation_id, other_id)
        assert await belongings(installation_id, other_id) == []
        if isinstance(another, ListsBelongings):
            assert not await another.tenants_with_belongings(installation_id)
