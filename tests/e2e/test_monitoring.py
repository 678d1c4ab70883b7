"""What deploy/monitoring has, in a real Prometheus on a real control plane: every query finds its metric, and an alert
fires when its symptom is there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane.local.paths import Home
from tests.e2e.installation import Installation, free_port, until
from tests.integration.test_alerts import ALERTS, METRICS, targets
from tests.prometheus import Prometheus, scraping

pytestmark = [pytest.mark.docker, pytest.mark.cluster]

NAME = "monitored"
_VARIABLE = re.compile(r"[$]\w+")
RAYS = {
    "default": {
        "Alive Actors by Name",
        "All Actors by State",
        "Cluster Utilization",
        "Logical CPUs Usage",
        "Node CPU Usage",
        "Node CPU Usage by Component",
        "Node Count",
        "Node Disk Usage",
        "Node Memory Usage (heap + object store)",
        "Node Network",
        "Object Store Memory Usage",
        "Running Tasks by Node",
    },
    "serve": {"Controller Control Loop Duration", "Replicas per deployment"},
}
"""Dashboards of Ray's, and the panels among them that have something to show on any cluster of ours."""


async def test_a_real_prometheus(installation: Installation, tmp_path: Path) -> None:
    """It reads the metrics with a viewer's token. One target does not answer, and one tenant fails."""
    secret = installation.run("token", "create", "prometheus", "--role", "viewer", "--expires", "never").stdout.strip()
    dead = f"127.0.0.1:{free_port()}"
    ports = json.loads((installation.home / "state.json").read_text())["ports"]
    ray = [ports[name] for name in ("metrics_export", "dashboard_metrics", "monitor_metrics")]
    with scraping(tmp_path, installation.port, secret, more=[dead], ray=ray) as prometheus:
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
        rays_own_panels(prometheus, installation)


def rays_own_panels(prometheus: Prometheus, installation: Installation) -> None:
    """Ray's dashboards for Grafana, as Ray has written them for this very cluster, find their metrics in the same
    Prometheus, and its agent has what our actors know."""
    written = Home(installation.home).ray_sessions / "session_latest" / "metrics" / "grafana" / "dashboards"
    for board, panels in RAYS.items():
        asked = dict(queries_of(json.loads((written / f"{board}_grafana_dashboard.json").read_text())))
        assert panels <= asked.keys(), "another Ray names its panels otherwise"
        for panel in sorted(panels):
            query = " or ".join(f"({_VARIABLE.sub('.*', one)})" for one in asked[panel])
            prometheus.until("query", lambda found: found["result"], query=query)
    for name in ("wakes", "activations"):
        prometheus.until("query", lambda found: found["result"], query=f"ray_landlord_{name}_total")


def queries_of(dashboard: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Each panel's title, with what it asks for."""
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    for panel in [*dashboard["panels"], *(one for row in rows for one in row.get("panels", []))]:
        if panel.get("targets"):
            yield panel["title"], [target["expr"] for target in panel["targets"]]


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
