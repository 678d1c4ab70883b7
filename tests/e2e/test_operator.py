"""What docs/operations.md shows: an operator's script over the Ray client."""

import pytest

from tests.e2e.installation import Installation, gone, ready

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

SCRIPT = """
import json, sys
import ray
from actors.operator import Operator

ray.init(sys.argv[1], namespace="landlord", log_to_driver=False)
operator = Operator()
live, tenant = operator.live(), operator.tenant("watched")
try:
    operator.tenant("nobody")
except LookupError as error:
    missing = str(error)
operator.dismiss("watched")
print(json.dumps({"live": live, "tenant": tenant, "missing": missing, "sweep": operator.supervisor()["sweep"]}))
"""


async def test_a_ray_client_script_sees_and_dismisses_live_tenants(installation: Installation) -> None:
    command = ["python3", "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
    spec = {
        "compute": {"provider": "process", "config": {"command": command}},
        "health": {"http": {"path": "/"}, "interval_seconds": 1},
    }
    async with installation.http() as client:
        created = await client.post("/tenants", json={"name": "watched", "spec": spec})
        assert created.status_code == 202, created.text
        tenant = await ready(client, "watched")
        seen = await installation.operator_script(SCRIPT)
        assert "watched" in seen["live"]
        assert seen["tenant"]["tenant_id"] == tenant["id"]
        assert seen["missing"] == "no actor 'tenant:nobody' lives in this cluster"
        assert {"heartbeat", "due", "resources", "probes"} <= set(seen["sweep"])
        assert (await client.get("/tenants/watched")).json()["status"] == "ready", "its compute stays"
        await client.delete("/tenants/watched")
        await gone(client, "watched")
