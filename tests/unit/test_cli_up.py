"""What `up` prints once the control plane answers."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from controlplane.cli import server
from controlplane.cli.main import app
from controlplane.local.installation import UpResult
from controlplane.local.ports import derive_ports
from controlplane.local.state import RunState

STATE = RunState("1+abc", "f", "cluster", derive_ports(8000, free=lambda port: True), "process")
RESTATE = {"LANDLORD_RESTATE_INGRESS_URL": "http://127.0.0.1:1", "LANDLORD_RESTATE_ADMIN_URL": "http://127.0.0.1:2"}
KEY = {"LANDLORD_RESTATE_IDENTITY_KEY": "publickeyv1_x"}
UNSIGNED = {"LANDLORD_RESTATE_UNSIGNED": "true"}


@pytest.mark.parametrize(
    ("given", "warned"),
    [({}, False), (UNSIGNED, False), ({**RESTATE, **KEY}, False), ({**RESTATE, **UNSIGNED}, True)],
    ids=["without-restate", "without-a-server", "signed", "unsigned"],
)
def test_a_restate_that_does_not_sign_has_a_line_of_its_own(
    given: dict[str, str], warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "bring_up", lambda settings: UpResult(STATE, fresh=True))
    done = CliRunner().invoke(app, ["up"], env={"LANDLORD_HOME": str(tmp_path), **given})
    assert done.exit_code == 0, done.output
    said = [line for line in done.stdout.splitlines() if line.startswith("Restate")]
    assert len(said) == warned
    for line in said:
        assert "LANDLORD_RESTATE_UNSIGNED" in line
        assert "whoever is on this machine can order steps" in line


class Taking:
    """A cluster that knows of one other head."""

    @classmethod
    def of(cls, settings: object) -> "Taking":
        return cls()

    def take_over(self, address: str) -> int:
        return int(address == "10.0.0.1")


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (["--take-over", "10.0.0.1"], 0, "the cluster of 10.0.0.1 has ended"),
        (["--take-over", "10.0.0.9"], 1, "no cluster of this database has its head at 10.0.0.9"),
        (["--take-over", "127.0.0.1"], 1, "127.0.0.1 is this machine"),
        (["--take-over", "10.0.0.1", "--foreground"], 2, "is said once"),
    ],
)
def test_taking_over_needs_another_head_and_is_said_once(
    words: list[str], exit_code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "bring_up", lambda settings: UpResult(STATE, fresh=True))
    monkeypatch.setattr(server, "Cluster", Taking)
    done = CliRunner().invoke(app, ["up", *words], env={"LANDLORD_HOME": str(tmp_path)})
    told = " ".join(done.output.split()) + str(done.exception)
    assert (done.exit_code != 0) == (exit_code != 0), told
    assert said in told
