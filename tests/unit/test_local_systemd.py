"""The unit that `landlord install --systemd` writes, before systemd's own eyes."""

import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.local.systemd import UNIT, unit


@pytest.mark.parametrize("head", [None, "10.0.0.1:8000"], ids=["head", "node"])
def test_systemd_finds_no_fault(tmp_path: Path, head: str | None) -> None:
    path = tmp_path / UNIT
    path.write_text(unit(tmp_path / "a home of 5%", head))
    found = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_it_starts_this_landlord_for_this_home_and_spares_the_tenants() -> None:
    lines = unit(Path("/srv/landlord")).splitlines()
    landlord = Path(sys.executable).with_name("landlord")
    assert "Environment=LANDLORD_HOME=/srv/landlord" in lines
    assert f"ExecStart={landlord} up --foreground" in lines
    assert {"Type=notify", "Restart=always", "KillMode=process", "WantedBy=multi-user.target"} <= set(lines)


def test_a_node_joins_the_cluster_of_its_head() -> None:
    landlord = Path(sys.executable).with_name("landlord")
    assert (
        f"ExecStart={landlord} node join 10.0.0.1:8000 --foreground" in unit(Path("/x"), "10.0.0.1:8000").splitlines()
    )
