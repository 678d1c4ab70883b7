"""An owner leaves, whatever hangs: on real Ray, and in its parts."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors import runtime as parts
from controlplane.ports import ComputeProvider
from providers.compute.fake import FakeCloud, FakeCompute
from providers.kit.threads import Threads
from providers.registry import Enabled
from tests.integration.owner import runtime

STUCK = """
import asyncio, threading, time
from uuid import uuid4
import ray
from actors.options import for_tenant
from actors.tenant import actor as module
from providers.kit.threads import Threads

class Stuck(module.TenantOwner):
    # Its platform hangs in an effect, its runtime cannot be closed, and its lease is lost.
    async def run_step(self, execution_id, step):
        await Threads("platform", 1).run(threading.Event().wait, 120)

    async def close(self):
        raise OSError("the parts cannot be closed")

    async def _own(self, tenant_id, mailbox):
        module.EXIT_SECONDS = 1.0
        self._runtime = self
        ray.get_runtime_context().current_actor.run_step.remote("an execution", "apply_compute")
        while not any(thread.name.startswith("platform") for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
        return "lost"

def owner():
    return ray.remote(Stuck).options(**for_tenant("acme", {})).remote("acme")

ray.init(num_cpus=1, namespace="landlord", include_dashboard=False, log_to_driver=False)
first = owner()
print(ray.get(first.wake.remote(str(uuid4())))["outcome"], flush=True)
began = time.monotonic()
try:
    ray.get(first.until_leaving.remote(), timeout=60)
    while ray.get_actor("tenant:acme") == first and time.monotonic() - began < 60:
        time.sleep(0.05)
except (ray.exceptions.RayActorError, ValueError):
    pass
print(ray.get(owner().ping.remote(), timeout=60), flush=True)
ray.shutdown()
"""


@pytest.mark.cluster
@pytest.mark.timeout(180)
def test_an_owner_leaves_ray_though_an_effect_hangs() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, check=False, timeout=170)
    said = [line for line in done.stdout.splitlines() if line in ("started", "pong")]  # Ray's own words are among them
    assert said == ["started", "pong"], f"{done.stdout}\n{done.stderr[-3000:]}"


class Hanging(FakeCompute):
    """It hangs in its close, as a third party's may."""

    def __init__(self, cloud: FakeCloud, go: threading.Event) -> None:
        super().__init__(cloud)
        self._go = go
        self._threads = Threads("hanging", 1)

    async def close(self) -> None:
        await self._threads.run(self._go.wait, 60)


class Failing(FakeCompute):
    def close(self) -> Coroutine[Any, Any, None]:
        async def fail() -> None:
            raise OSError("no")

        return fail()


async def test_all_parts_are_closed_though_one_hangs_and_one_fails(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parts, "PART_SECONDS", 0.2)
    go, cloud = threading.Event(), FakeCloud(identity="cloud")
    compute: Enabled[ComputeProvider] = Enabled(
        {"hanging": lambda: Hanging(cloud, go), "failing": lambda: Failing(cloud)}
    )
    there = replace(runtime(database_url, tmp_path, cloud, None), compute=compute)
    assert there.compute["hanging"]
    assert there.compute["failing"]
    began = time.monotonic()
    await there.close()
    assert time.monotonic() - began < 20
    assert there.prober._client.is_closed
    assert "Hanging does not close within 0.2 s; it is left" in caplog.text
    assert "Failing does not close: OSError" in caplog.text
    go.set()
    await asyncio.sleep(0)
