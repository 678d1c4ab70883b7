"""One cloud in memory that all actors share, in a real cluster."""

import os
from typing import Any

import psutil
import pytest

from tests.e2e.installation import Installation, gone, ready, until

pytestmark = [pytest.mark.cluster, pytest.mark.docker, pytest.mark.timeout(240)]

SCRIPT = """
import json, sys
import ray
from actors.operator import Operator

ray.init(sys.argv[1], namespace="landlord", log_to_driver=False)
operator, tenants = Operator(), sys.argv[2].split(",")
found = [i for i in operator.shared("fake", "instances") if i.labels["landlord.tenant"] in tenants]
for instance in found[:int(sys.argv[3])]:
    operator.shared("fake", "lose", instance.id)
pids = {name: operator.tenant(name)["pid"] for name in tenants} if sys.argv[4:] else {}
print(json.dumps({"found": [(i.labels["landlord.tenant"], i.config["version"]) for i in found], "pids": pids}))
"""
SPEC = {"compute": {"provider": "fake", "config": {"version": "1"}}, "health": {"interval_seconds": 1}}


async def asked(installation: Installation, tenants: str, *, lose: int = 0, pids: bool = False) -> dict[str, Any]:
    """What an operator's script sees: [tenant, version] of each instance, the actors' pids."""
    seen = await installation.operator_script(SCRIPT, tenants, str(lose), *(["p"] * pids))
    return dict(seen)


async def test_all_actors_share_one_cloud_in_memory(installation: Installation) -> None:
    async with installation.http() as client:
        for name in ("vapour", "mist"):
            assert (await client.post("/tenants", json={"name": name, "spec": SPEC})).status_code == 202
        for name in ("vapour", "mist"):
            await ready(client, name)
        seen = await asked(installation, "vapour,mist", pids=True)
        assert sorted(seen["found"]) == [["mist", "1"], ["vapour", "1"]]
        assert len(set(seen["pids"].values())) == 2

        # It outlives an actor that used it.
        victim = psutil.Process(seen["pids"]["vapour"])
        os.kill(victim.pid, 9)
        patch = {"spec": {"compute": {"config": {"version": "2"}}}}
        assert (await client.patch("/tenants/vapour", json=patch)).status_code == 202
        await ready(client, "vapour")
        assert sorted((await asked(installation, "vapour,mist"))["found"]) == [["mist", "1"], ["vapour", "2"]]

        # What it loses is brought back.
        await asked(installation, "mist", lose=1)
        await until(client, "mist", lambda t: t["status"] == "ready" and t["workflow_execution_id"].endswith("-r2"))
        for name in ("vapour", "mist"):
            assert (await client.delete(f"/tenants/{name}")).status_code == 202
        for name in ("vapour", "mist"):
            await gone(client, name)
        assert (await asked(installation, "vapour,mist"))["found"] == []


MANY = """
import json, sys
import ray
ray.init(sys.argv[1], namespace="landlord", log_to_driver=False)

@ray.remote(num_cpus=0)
def work(owner, first, last):
    # Where and as an actor would: in a process of its own, on the handle that the composition root injects.
    import asyncio, time
    from uuid import uuid4
    from actors.shared import SharedState
    from controlplane.model import HealthSpec
    from controlplane.ports import DesiredResource, Ownership
    from providers.compute.fake import FakeCompute

    class Open:
        async def current(self): return True
        async def make_way(self): return False

    async def main():
        provider, begun = FakeCompute(SharedState("fake")), time.monotonic()
        async def one(number):
            whose = Ownership(owner, f"t-{number}", uuid4(), 1, 1, f"e-{number}", "0" * 16)
            return (await provider.apply(DesiredResource(whose, {}, HealthSpec()), Open())).id
        made = await asyncio.gather(*(one(number) for number in range(first, last)))
        return made, time.monotonic() - begun

    return asyncio.run(main())

@ray.remote(num_cpus=0)
def all_of(owner, destroy):
    import asyncio, time
    from actors.shared import SharedState
    from providers.compute.fake import FakeCompute

    async def main():
        provider, begun = FakeCompute(SharedState("fake")), time.monotonic()
        listed = [resource.id for resource in await provider.list_owned(owner)]
        seconds = time.monotonic() - begun
        if destroy:
            await asyncio.gather(*(provider.destroy(id) for id in listed))
        return listed, seconds

    return asyncio.run(main())

owner, count, workers = "test-many", int(sys.argv[2]), 4
shares = [(n * count // workers, (n + 1) * count // workers) for n in range(workers)]
done = ray.get([work.remote(owner, *share) for share in shares])
made = [id for ids, _ in done for id in ids]
listed, listing = ray.get(all_of.remote(owner, True))
left, _ = ray.get(all_of.remote(owner, False))
print(json.dumps({
    "made": len(set(made)), "listed": set(listed) == set(made), "left": len(left),
    "seconds": {"apply": max(seconds for _, seconds in done), "list": listing},
}))
"""


@pytest.mark.long
async def test_ten_thousand_tenants_at_once_on_the_shared_cloud(installation: Installation) -> None:
    """Four processes make them at the same time; any process then lists all of them in one call."""
    seen = await installation.operator_script(MANY, "10000")
    print(f"10,000 tenants on the shared fake cloud: {seen['seconds']}")
    assert {name: seen[name] for name in ("made", "listed", "left")} == {"made": 10_000, "listed": True, "left": 0}
