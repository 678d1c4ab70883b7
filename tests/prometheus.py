"""Debian's Prometheus, for the suite: runs what deploy/monitoring has, against a control plane of the tests."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.installation import free_port
from tests.pages import ROOT

MONITORING = ROOT / "deploy" / "monitoring"
SECONDS = 120
"""Machines are busy."""


class Prometheus:
    """Answers queries once it runs."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}"
        answer = httpx.get(url, params=parameters, timeout=30, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def until(self, path: str, condition: Callable[[Any], bool], **parameters: str) -> Any:
        """Its answer, once that is so; what was seen last is in the failure."""
        give_up = time.monotonic() + SECONDS
        while not condition(found := self.get(path, **parameters)):
            assert time.monotonic() < give_up, found
            time.sleep(0.2)
        return found


@contextlib.contextmanager
def scraping(
    directory: Path, port: int, token: str, *, more: Sequence[str], ray: Sequence[int] = ()
) -> Iterator[Prometheus]:
    """Our own configuration and rules, with these differences: the targets (`port` and `more`; of Ray the ports `ray`),
    where the token is, a look every three seconds, which are also its time-out, and no alert waits before it fires."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.fail("these tests need Prometheus: apt-get install prometheus")
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "3s", "evaluation_interval": "1s"}
    job, of_ray = config["scrape_configs"]
    job["authorization"]["credentials_file"] = str(directory / "token")
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}", *more]}]
    of_ray["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ray]}]
    (directory / "token").write_text(token)
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        del rule["for"]
    (directory / "alerts.yml").write_text(yaml.safe_dump(rules))
    prometheus = Prometheus(free_port())
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{prometheus.port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _await_ready(prometheus, process, directory / "log")
        yield prometheus
    finally:
        process.kill()
        process.wait()


def _await_ready(prometheus: Prometheus, process: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up = time.monotonic() + SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{prometheus.port}/-/ready", trust_env=False).is_success:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)
