"""The process provider against the compute contract, and what it refuses."""

import errno
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from controlplane.errors import InvalidConfig
from controlplane.model import HealthSpec
from providers.compute.process import provider as process_module
from providers.compute.process.directory import ProcessDirectory
from providers.compute.process.provider import ProcessCompute
from providers.conformance.compute import ComputeConformance
from providers.conformance.compute_bench import SECRET, Effect, LoseAnswer, desire
from providers.conformance.compute_capabilities import (
    CommandsConformance,
    FollowsLogsConformance,
    LogsConformance,
    NoExecProbesConformance,
)
from tests.contract.process.bench import OPEN, OWNER, UIDS, WEB, shell


class OnAnotherMachine(ProcessCompute):
    """As it would be on a machine with another id."""

    async def identity(self) -> str:
        with pytest.MonkeyPatch.context() as during:
            during.setattr(process_module, "_machine_id", lambda: "0" * 32)
            return await super().identity()


class TestProcessConforms(
    ComputeConformance, LogsConformance, FollowsLogsConformance, CommandsConformance, NoExecProbesConformance
):
    @pytest_asyncio.fixture
    async def provider(self, root: Path) -> AsyncIterator[ProcessCompute]:
        provider = ProcessCompute(root, uids=UIDS)
        yield provider
        await provider.close()

    @pytest_asyncio.fixture
    async def another(self, root: Path) -> AsyncIterator[ProcessCompute]:
        provider = ProcessCompute(root, uids=UIDS)
        yield provider
        await provider.close()

    @pytest_asyncio.fixture
    async def elsewhere(self, root: Path) -> AsyncIterator[ProcessCompute]:
        provider = OnAnotherMachine(root.parent / "another", uids=UIDS)
        yield provider
        await provider.close()

    @pytest.fixture
    def lose_answer(self, monkeypatch: pytest.MonkeyPatch) -> LoseAnswer:
        """It is done, and the disk or the lock says that it took too long."""

        def lose(effect: Effect) -> None:
            installation_id, call = {
                "create": (ProcessDirectory, "create"),
                "start": (process_module, "_launch"),
                "destroy": (ProcessDirectory, "remove"),
            }[effect]
            real = getattr(installation_id, call)

            def done_in_vain(*args: Any) -> None:
                monkeypatch.setattr(installation_id, call, real)
                real(*args)
                raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

            monkeypatch.setattr(installation_id, call, done_in_vain)

        return lose

    @pytest.fixture
    def good_config(self) -> Mapping[str, Any]:
        return WEB

    @pytest.fixture
    def changed_config(self) -> Mapping[str, Any]:
        return {**WEB, "env": {"COLOR": "green"}}

    @pytest.fixture
    def counting_config(self) -> Mapping[str, Any]:
        return shell("n=0; while n=$((n + 1)); do echo $n; sleep 0.01; done")

    @pytest.fixture
    def refused_config(self) -> Mapping[str, Any]:
        return {"command": ["no-such-program", SECRET], "env": {"TOKEN": SECRET}}

    @pytest.fixture
    def refusal_code(self) -> object:
        return errno.ENOENT

    @pytest.fixture
    def invalid_config(self) -> Mapping[str, Any]:
        return {"command": [], "env": {"TOKEN": 7}, "workdir": "here"}


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"command": ["no-such-program"]}, "the command 'no-such-program' cannot be started: not found"),
        ({"command": ["/no/such/program"]}, "the command '/no/such/program' cannot be started: No such file"),
        ({"command": ["/bin/sh"], "workdir": "/no/such"}, "the command cannot start in /no/such: No such file"),
    ],
)
async def test_what_cannot_be_started_is_named(provider: ProcessCompute, config: Mapping[str, Any], text: str) -> None:
    desired = desire(OWNER, config)
    for _ in range(2):
        with pytest.raises(InvalidConfig, match=text):
            await provider.apply(desired, OPEN)
    seen = await provider.observe(desired.origin)
    assert seen is not None
    assert seen.detail.startswith(text)


async def test_a_probe_needs_the_port_to_be_used(provider: ProcessCompute) -> None:
    probed = HealthSpec.model_validate({"http": {}})
    provider.validate(WEB, probed)
    provider.validate({"command": ["/bin/server"], "env": {"PORT": "{port}"}}, probed)
    with pytest.raises(InvalidConfig, match=r"health\.http"):
        provider.validate({"command": ["/bin/server"]}, probed)
