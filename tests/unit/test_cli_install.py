"""`landlord install --systemd`: the unit of a head, and that of a machine that joined another one's cluster."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from controlplane.cli.main import app
from controlplane.local.ports import derive_ports
from controlplane.local.state import RunState

STATE = RunState("1+abc", "f", "cluster", derive_ports(8000, free=lambda port: True), "process")


def install(home: Path, *words: str) -> Result:
    command = ["install", "--systemd", "--print", *words]
    return CliRunner().invoke(app, command, env={"LANDLORD_HOME": str(home)})


@pytest.mark.parametrize("state", [None, STATE], ids=["new", "started"])
def test_a_machine_of_its_own_is_started(tmp_path: Path, state: RunState | None) -> None:
    if state is not None:
        state.write(tmp_path / "state.json")
    assert "landlord up --foreground\n" in install(tmp_path).stdout


def test_a_machine_that_joined_says_whose_node_it_is(tmp_path: Path) -> None:
    replace(STATE, head="10.0.0.1:24000").write(tmp_path / "state.json")
    refused = install(tmp_path)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "joined the cluster at 10.0.0.1:24000: say --node" in " ".join(refused.stderr.split())
    assert "landlord node join 10.0.0.1 --foreground\n" in install(tmp_path, "--node", "10.0.0.1").stdout
