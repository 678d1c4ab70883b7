"""deploy/monitoring: promtool takes the rules and the configuration, each alert fires at its symptom and not without
it, and the dashboard asks only for what /metrics has."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.api.metrics import of_gauges, of_replica, of_totals
from controlplane.persistence.gauges import Gauges
from tests.pages import DOCS, ROOT, first_cells, section

MONITORING = ROOT / "deploy" / "monitoring"
RULES = MONITORING / "alerts.yml"
DASHBOARD = MONITORING / "dashboard.json"
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
NAMES = [alert["alert"] for alert in ALERTS]

_NAME = re.compile(r"\blandlord_\w+")
_SUFFIX = re.compile(r"_(bucket|sum|count)$")

LEFT = ("actors_live", "actors_ceiling", "tenants_waiting", "heal_budgets_spent")
FAMILIES = [
    *of_totals([]),
    *of_gauges(Gauges({}, 0.0, {}, 0.0, dict.fromkeys(LEFT, 0))),
    *of_replica("here", {}, {}, {"in_use": 0, "size": 1}),
]
METRICS: dict[str, tuple[str, ...]] = {
    family.name + ("_total" if family.type == "counter" else ""): tuple(getattr(family, "_labelnames", ()))
    for family in FAMILIES
}
"""By name, with the labels."""

CALM = {
    'up{job="landlord"}': "1x90",
    'landlord_supervisor_heartbeat_age_seconds{job="landlord"}': "5x90",
    'landlord_sweep_stage_failures_total{stage="due"}': "3x90",
    "landlord_execution_queue_age_seconds": "20x90",
    "landlord_tenants_waiting": "3x90",
    "landlord_actors_live": "60x90",
    "landlord_actors_ceiling": "90x90",
    'landlord_breaker_open{provider="docker"}': "0x90",
    'landlord_executions_total{provider="docker",outcome="failed"}': "0+1x90",
    'landlord_executions_total{provider="docker",outcome="succeeded"}': "0+10x90",
    'landlord_tenants{status="failed"}': "0x90",
    'landlord_tenants{status="ready"}': "40x90",
    "landlord_heal_budgets_spent": "0x90",
    "landlord_heals_total": "0+1x90",
    'landlord_departures_total{reason="lost"}': "4x90",
    'landlord_departures_total{reason="passivated"}': "0+50x90",
    'landlord_http_requests_total{replica="a",status="2xx"}': "0+100x90",
    'landlord_http_requests_total{replica="a",status="5xx"}': "0+1x90",
    'landlord_database_pool_in_use{replica="a"}': "3x90",
    'landlord_database_pool_size{replica="a"}': "10x90",
    'landlord_clusters{state="draining"}': "0x90",
}
"""A sample a minute, for an hour and a half of an ordinary day: no alert."""
SYMPTOMS: dict[str, dict[str, str]] = {
    "LandlordDown": {'up{job="landlord"}': "0x90"},
    "LandlordSupervisorLate": {'landlord_supervisor_heartbeat_age_seconds{job="landlord"}': "60+60x90"},
    "LandlordSweepStageFails": {'landlord_sweep_stage_failures_total{stage="due"}': "0+1x90"},
    "LandlordQueueOld": {"landlord_execution_queue_age_seconds": "0+60x90"},
    "LandlordNoRoom": {"landlord_actors_live": "90x90"},
    "LandlordPlatformAway": {'landlord_breaker_open{provider="docker"}': "1x90"},
    "LandlordExecutionsFail": {'landlord_executions_total{provider="docker",outcome="failed"}': "0+5x90"},
    "LandlordTenantsUnwell": {'landlord_tenants{status="failed"}': "1x90"},
    "LandlordHealBudgetSpent": {"landlord_heal_budgets_spent": "1x90"},
    "LandlordManyHeals": {"landlord_heals_total": "0+3x90"},
    "LandlordOwnersLost": {'landlord_departures_total{reason="lost"}': "0+2x90"},
    "LandlordErrors": {'landlord_http_requests_total{replica="a",status="5xx"}': "0+10x90"},
    "LandlordPoolFull": {'landlord_database_pool_in_use{replica="a"}': "10x90"},
    "LandlordDrained": {'landlord_clusters{state="draining"}': "1x90"},
}
NEVER_SWEPT = {'landlord_supervisor_heartbeat_age_seconds{job="landlord"}': "_x90"}


def promtool(*arguments: object) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.fail("these tests need promtool: apt-get install prometheus")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def firing(case: dict[str, str], alerts: list[str]) -> dict[str, Any]:
    """A test for promtool: after 90 minutes exactly these fire. Every series has an instance, as scraped ones have."""
    series = [
        {"series": f'{name.rstrip("}")}{"," if "{" in name else "{"}instance="here"}}', "values": values}
        for name, values in (CALM | case).items()
    ]
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)]
    query = {"expr": 'sum by (alertname) (ALERTS{alertstate="firing"})', "eval_time": "90m", "exp_samples": expected}
    return {"interval": "1m", "input_series": series, "promql_expr_test": [query]}


def test_promtool_takes_rules_and_configuration(tmp_path: Path) -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool("check", "rules", RULES)
    token = tmp_path / "token"
    token.touch()
    config = (MONITORING / "prometheus.yml").read_text().replace("/etc/prometheus/landlord.token", str(token))
    (tmp_path / "prometheus.yml").write_text(config)
    shutil.copy(RULES, tmp_path)
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")


def test_each_alert_fires_at_its_symptom_and_none_on_an_ordinary_day(tmp_path: Path) -> None:
    assert list(SYMPTOMS) == NAMES
    tests = [firing({}, []), firing(NEVER_SWEPT, ["LandlordSupervisorLate"])]
    tests += [firing(symptom, [alert]) for alert, symptom in SYMPTOMS.items()]
    cases = tmp_path / "cases.yml"
    cases.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", cases)


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_each_alert_says_what_is_wrong_and_leads_to_its_runbook(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"].endswith(".")
    assert alert["annotations"]["runbook_url"] == "{{ $externalLabels.runbooks }}#" + alert["alert"].lower()


def test_alerts_and_panels_ask_for_metrics_that_there_are() -> None:
    asked = [alert["expr"] for alert in ALERTS] + [target["expr"] for target in targets()]
    names = {_SUFFIX.sub("", name) for expression in asked for name in _NAME.findall(expression)}
    assert names <= METRICS.keys(), names - METRICS.keys()


def test_the_page_lists_the_metrics_and_their_labels() -> None:
    rows = section(DOCS / "operations.md", "## Metrics")
    documented = [name for cell in first_cells(rows) for name in _NAME.findall(cell)]
    assert sorted(documented) == sorted(METRICS)
    for line in rows.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        for name in _NAME.findall(cells[1]) if len(cells) > 2 else []:
            assert tuple(re.findall(r"`(\w+)`", cells[2])) == METRICS[name], name


def targets() -> list[dict[str, Any]]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target for panel in panels for target in panel.get("targets", [])]


def test_each_panel_has_a_query_that_prometheus_reads(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": target["expr"]} for number, target in enumerate(targets())]
    assert len(rules) >= 15
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}).replace("$__rate_interval", "5m"))
    promtool("check", "rules", file)


def test_each_panel_has_its_place() -> None:
    """No two overlap, and each is on the data source that the dashboard asks for."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
