"""An owner whose process is stopped for good keeps its name in Ray: the supervisor ends it."""

import os
import signal
from contextlib import suppress

import pytest

from tests.e2e.installation import Installation, gone, ready
from tests.e2e.test_path import process_spec
from tests.processes import processes_with

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(240)]

WHERE = """
import json, sys
import ray
from actors.operator import Operator

ray.init(sys.argv[1], namespace="landlord", log_to_driver=False)
print(json.dumps(Operator().tenant(sys.argv[2])["pid"]))
"""


async def test_a_stopped_owner_is_replaced(installation: Installation) -> None:
    async with installation.http() as client:
        await client.post("/tenants", json={"name": "stuck", "spec": process_spec("stuck-1")})
        await ready(client, "stuck")
        pid = await installation.operator_script(WHERE, "stuck")
        os.kill(pid, signal.SIGSTOP)
        try:
            patch = {"spec": {"compute": {"config": {"env": {"COLOR": "stuck-2"}}}}}
            changed = await client.patch("/tenants/stuck", json=patch)
            assert changed.status_code == 202, changed.text
            assert changed.json()["workflow"]["state"] == "pending"
            await ready(client, "stuck", seconds=120)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        assert (processes_with("stuck-1"), len(processes_with("stuck-2"))) == ([], 1)
        await client.delete("/tenants/stuck")
        await gone(client, "stuck")
