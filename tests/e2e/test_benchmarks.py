"""Each benchmark with tiny numbers: it runs to its end, and those that have a floor say it."""

import json
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.__main__ import BENCHMARKS

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(1800)]

FLOORS = {
    "begin": {"post_202_pooled", "post_202_empty", "patch_202_live", "bare_actor"},
    "reads": {"get_one", "get_one_of_plain", "list_50", "get_one at once"},
    "path": {"docker_post_ready_cold docker", "docker_patch_ready_live docker"},
    "engines": {"post_ready_restate", "patch_ready_stepfunctions"},
    "burst": {"4 docker ready", "4 docker gone"},
    "recovery": {"recovered"},
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_it_measures(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    run, tiny = BENCHMARKS[name]
    assert run(tiny.split()) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said
    assert {line["line"] for line in said if line["ratio"] is not None} >= FLOORS.get(name, set())
