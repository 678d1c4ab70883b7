"""How a process ends: well, by force, with all that it started; and what it leaves to be read."""

import asyncio
from pathlib import Path

import psutil
import pytest
from pydantic import TypeAdapter

from controlplane.ports import Resource
from providers.compute.process import keeper
from providers.compute.process.provider import ProcessCompute
from providers.conformance.compute_bench import SECRET, desire
from providers.kit.signals import StopSignal, number_of
from tests.contract.process.bench import OPEN, OWNER, main_process, shell, stopped, until, written


async def test_how_it_ended_is_told_without_its_secrets(provider: ProcessCompute) -> None:
    resource = await provider.apply(desire(OWNER, shell("echo cannot use $TOKEN; exit 3", TOKEN=SECRET)), OPEN)
    seen = await stopped(provider, resource)
    assert seen.detail == "the process exited with code 3: cannot use ***"
    resource = await provider.apply(desire(OWNER, shell("kill -KILL $$")), OPEN)
    assert (await stopped(provider, resource)).detail == "the process was ended by SIGKILL"


async def test_stop_ends_what_the_command_started_and_kills_what_does_not_listen(
    provider: ProcessCompute, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.compute.process.provider.GRACE_SECONDS", 0.3)
    resource = await provider.apply(desire(OWNER, shell("trap '' TERM; sleep 60 & sleep 60 & echo up; wait")), OPEN)
    await written(provider, resource, "up")
    family = [main_process(root, resource), *main_process(root, resource).children(recursive=True)]
    assert len(family) == 3
    await provider.stop(resource.id)
    assert all(over(process.pid) for process in family)
    assert (await stopped(provider, resource)).detail.startswith("the process was ended by SIGKILL")


async def test_what_the_command_leaves_behind_ends_with_it(provider: ProcessCompute, root: Path) -> None:
    resource = await provider.apply(desire(OWNER, shell("sleep 60 & echo $!; exit 0")), OPEN)
    await stopped(provider, resource)
    left = int(await provider.logs(resource.id, 1))
    async with asyncio.timeout(10):
        while not over(left):  # noqa: ASYNC110, not a child of ours
            await asyncio.sleep(0.05)


def over(pid: int) -> bool:
    """Gone, or dead and not waited for yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_stop_gives_time_to_end_well(provider: ProcessCompute) -> None:
    resource = await provider.apply(
        desire(OWNER, shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")), OPEN
    )
    await written(provider, resource, "up")
    await provider.stop(resource.id)
    assert (await stopped(provider, resource)).detail == "the process exited with code 0: bye"


async def test_a_command_may_have_a_signal_and_a_time_of_its_own(
    provider: ProcessCompute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.compute.process.provider.GRACE_SECONDS", 0.0)
    script = (
        "trap 'echo no; exit 1' TERM; trap 'sleep 0.5; echo bye; exit 0' USR1; echo up; while :; do sleep 0.05; done"
    )
    own = {"stop_signal": "SIGUSR1", "stop_grace_seconds": 60}
    resource = await provider.apply(desire(OWNER, {**shell(script), **own}), OPEN)
    await written(provider, resource, "up")
    await provider.stop(resource.id)
    assert (await stopped(provider, resource)).detail == "the process exited with code 0: bye"


@pytest.mark.parametrize(
    ("given", "number"),
    [("SIGTERM", 15), ("TERM", 15), ("15", 15), ("SIGINT", 2), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("RTMIN", 34)],
)
def test_signals_have_the_numbers_of_this_machine(given: str, number: int) -> None:
    assert TypeAdapter(StopSignal).validate_python(given) == given
    assert number_of(given) == number


async def test_the_log_is_bounded(provider: ProcessCompute, root: Path) -> None:
    megabyte = "head -c 1000000 /dev/zero | tr '\\0' x; echo"
    script = f"for i in 1 2 3 4 5; do {megabyte}; sleep 0.3; done; echo end; sleep 60"
    resource = await provider.apply(desire(OWNER, shell(script)), OPEN)
    await written(provider, resource, "end")

    def kept(_: Resource) -> bool:
        """Its keeper measures now and then; while it moves the log there is a third file."""
        return sum(path.stat().st_size for path in (root / resource.name).glob("log*")) < 2.5 * keeper.LOG_BYTES

    await until(provider, resource, kept)
    assert (await provider.logs(resource.id, 1)).endswith("end\n")
