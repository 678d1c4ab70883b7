"""What deploy/monitoring has, in a real Prometheus on a real control plane: every query finds its metric, and an alert
fires when its symptom is there."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.installation import Installation, free_port, until
from tests.integration.test_alerts import ALERTS, METRICS, targets
from tests.prometheus import scraping

pytestmark = [pytest.mark.docker, pytest.mark.cluster]

NAME = "monitored"


async def test_a_real_prometheus(installation: Installation, tmp_path: Path) -> None:
    """It reads the metrics with a viewer's token. One target does not answer, and one tenant fails."""
    secret = installation.run("token", "create", "prometheus", "--role", "viewer", "--expires", "never").stdout.strip()
    dead = f"127.0.0.1:{free_port()}"
    with scraping(tmp_path, installation.port, secret, more=[dead]) as prometheus:
        async with installation.http() as client:
            await fails(client)
            prometheus.until("query", lambda found: found["result"], query='landlord_tenants{status="failed"} > 0')
            loaded = prometheus.until(
                "rules", lambda found: all(r["health"] == "ok" for r in found["groups"][0]["rules"])
            )
            assert [rule["name"] for rule in loaded["groups"][0]["rules"]] == [alert["alert"] for alert in ALERTS]
            found = prometheus.until("alerts", lambda found: {"LandlordDown", "LandlordTenantsUnwell"} <= names(found))
            await client.delete(f"/tenants/{NAME}")
        [down] = [alert for alert in found["alerts"] if alert["labels"]["alertname"] == "LandlordDown"]
        assert down["labels"]["instance"] == dead
        assert down["annotations"]["runbook_url"] == "https://docs.example.com/runbooks/#landlorddown"
        assert dead in down["annotations"]["summary"]

        known = prometheus.get("targets/metadata", limit="1000")
        ours = {one["metric"] for one in known if one["metric"].startswith("landlord_")}
        assert ours == set(METRICS)
        for query in asked():
            prometheus.get("query", query=query)
        [nodes] = prometheus.get("query", query='landlord_nodes{state="alive"}')["result"]
        assert nodes["value"][1] == "1"


async def fails(client: httpx.AsyncClient) -> None:
    """A tenant that never starts."""
    spec = {"compute": {"provider": "fake", "config": {"refuses": "not here"}}}
    answer = await client.post("/tenants", json={"name": NAME, "spec": spec})
    assert answer.status_code == 202, answer.text
    await until(client, NAME, lambda tenant: tenant["status"] == "failed")


def names(found: Any) -> set[str]:
    return {alert["labels"]["alertname"] for alert in found["alerts"] if alert["state"] == "firing"}


def asked() -> list[str]:
    """What the dashboard asks, for all instances."""
    return [target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*") for target in targets()]


async def test_rays_own_agent_has_what_actors_know(installation: Installation) -> None:
    ports = json.loads((installation.home / "state.json").read_text())["ports"]
    async with installation.http() as client, httpx.AsyncClient(trust_env=False) as agent:
        spec = {"compute": {"provider": "fake", "config": {}}}
        assert (await client.post("/tenants", json={"name": "of-ray", "spec": spec})).status_code == 202
        await until(client, "of-ray", lambda tenant: tenant["status"] == "ready")
        await until_told(agent, f"http://127.0.0.1:{ports['metrics_export']}/metrics")
        await client.delete("/tenants/of-ray")


async def until_told(agent: httpx.AsyncClient, url: str) -> None:
    give_up = time.monotonic() + 90
    while True:
        text = (await agent.get(url)).text
        if all(f"ray_landlord_{name}_total" in text for name in ("wakes", "activations")):
            return
        assert time.monotonic() < give_up, sorted(set(re.findall(r"^ray_\w+", text, re.M)))
        await asyncio.sleep(0.5)


def healthy(found: Any) -> bool:
    return all(rule["health"] == "ok" for rule in found["groups"][0]["rules"])
