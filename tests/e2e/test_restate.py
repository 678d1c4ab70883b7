"""A whole installation beside a real Restate server: our endpoint as Serve serves it, and an engine that dies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation, free_port, gone, ready, until
from tests.restate import RestateServer

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def server(restate_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestateServer]:
    server = RestateServer(restate_program, tmp_path_factory.mktemp("restate-e2e"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def installation(server: RestateServer, short_dir: Path) -> Iterator[Installation]:
    installation = Installation(
        short_dir / "restate",
        free_port(),
        LANDLORD_RESTATE_INGRESS_URL=server.ingress,
        LANDLORD_RESTATE_ADMIN_URL=server.admin,
        # A cold actor on a busy machine: the answer is to be the engine's refusal, not that nobody was there in time.
        LANDLORD_TRIGGER_TIMEOUT_SECONDS="60",
    )
    installation.up()
    yield installation
    installation.down()


def tenant(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "spec": {
            "workflow": {"provider": "restate"},
            "compute": {"provider": "process", "config": {"command": ["python3", "-m", "http.server", "{port}"]}},
            "health": {"http": {"path": "/"}, "interval_seconds": 1},
        },
    }


async def test_a_tenant_lives_on_restate_and_outlives_it(installation: Installation, server: RestateServer) -> None:
    async with installation.http() as client:
        providers = (await client.get("/providers")).json()
        assert "restate" in str(providers)
        created = await client.post("/tenants", json=tenant("acme"))
        assert created.status_code == 202, created.text
        body = await ready(client, "acme", 120)
        assert body["workflow"]["provider"] == "restate"

        change = {"spec": {"compute": {"config": {"env": {"COLOR": "blue"}}}}}
        assert (await client.patch("/tenants/acme", json=change)).status_code == 202
        server.kill()
        refused = await client.post("/tenants", json=tenant("later"))
        assert refused.status_code == 503, refused.text
        assert refused.json()["code"] == "workflow_trigger_failed"
        assert refused.headers["Location"] == "/v1/tenants/later"
        assert int(refused.headers["Retry-After"]) > 0
        waiting = await until(client, "later", lambda t: bool(t["workflow"]["error"]))
        assert waiting["workflow"]["state"] == "pending"

        server.start()
        assert (await ready(client, "acme", 120))["generation"] == 2
        later = await ready(client, "later", 120)
        assert later["workflow_execution_id"] == refused.json()["workflow_execution_id"]
        for name in ("acme", "later"):
            await client.delete(f"/tenants/{name}")
        for name in ("acme", "later"):
            await gone(client, name)
