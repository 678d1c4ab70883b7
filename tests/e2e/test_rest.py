"""An installation that does nothing runs nothing that serves nobody; what runs asks as rarely as its use allows."""

import pytest

from tests.e2e.installation import Installation

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(600)]


def test_no_process_reads_logs_for_nobody_and_the_controller_has_its_pace(installation: Installation) -> None:
    processes = {process.pid: " ".join([process.name(), *process.cmdline()]) for process in installation.processes()}
    assert [said for said in processes.values() if "log_monitor" in said] == []
    controllers = [one for one in installation.processes() if "ServeController" in processes.get(one.pid, "")]
    assert [one.environ()["RAY_SERVE_CONTROL_LOOP_INTERVAL_S"] for one in controllers] == ["0.5"]
