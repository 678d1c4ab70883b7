"""One cloud in memory that all actors share, in a real cluster."""

import inspect
import os
from typing import Any

import psutil
import pytest

from tests.e2e import many_at_once
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


@pytest.mark.long
async def test_ten_thousand_tenants_at_once_on_the_shared_cloud(installation: Installation) -> None:
    """Four processes make them at the same time; any process then lists all of them in one call."""
    seen = await installation.operator_script(inspect.getsource(many_at_once), "10000")
    print(f"10,000 tenants on the shared fake cloud: {seen['seconds']}")
    assert {name: seen[name] for name in ("made", "listed", "left")} == {"made": 10_000, "listed": True, "left": 0}
