"""The Serve application on a running head. A process of its own deploys it; it is ready when `/readyz` says so."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from controlplane.errors import Unavailable
from controlplane.local.head import run_logged
from controlplane.local.paths import end_of
from controlplane.local.pinned import pinned
from controlplane.local.programs import APPLICATION

DEPLOY_SECONDS = 240.0
READY_SECONDS = 120.0
RENEWED_SECONDS = 45.0
"""Time to become ready on a head that ran before. After it, a new start is quicker."""
POLL_SECONDS = 0.1
SETTLED_SECONDS = 10.0
"""Time for a system that was ready before to become ready again, for example after a restart of its database."""


@dataclass(frozen=True)
class Application:
    """The control plane's HTTP API at `url`."""

    url: str
    certificate: Path | None = None
    """With TLS: the certificate that it shows."""

    def deploy(self, environment: Mapping[str, str], *, cwd: Path, log: Path) -> None:
        """Deploy. Idempotent: over a running application it replaces the parts that differ. Raises Unavailable."""
        command = [sys.executable, "-m", APPLICATION, "deploy"]
        code = run_logged(command, environment, cwd=cwd, log=log, timeout=DEPLOY_SECONDS)
        if code != 0:
            raise Unavailable(f"the application was not deployed (exit {code}), see {log}: {end_of(log)}")

    def trouble(self) -> str | None:
        """The reason why it is not ready. None: it is ready."""
        try:
            # Without TLS there is nothing to verify, and no authorities need be read.
            verify = pinned(self.certificate) if self.certificate is not None else False
            answer = httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False, verify=verify)
        except httpx.HTTPError as error:
            return f"no answer from {self.url}: {error}"
        return None if answer.status_code == 200 else failing(answer)

    def await_ready(self, seconds: float, say: Callable[[str], None]) -> None:
        """Returns once ready; says each new reason why it is not ready yet. Raises Unavailable after `seconds`."""
        deadline = time.monotonic() + seconds
        said = None
        while (trouble := self.trouble()) is not None:
            if trouble != said:
                say(f"not ready yet: {trouble}")
                said = trouble
            if time.monotonic() > deadline:
                raise Unavailable(f"not ready after {seconds:.0f} s: {trouble}")
            time.sleep(POLL_SECONDS)


def failing(answer: httpx.Response) -> str:
    """The failing checks of a `/readyz` body, each with its reason. If it names none, the HTTP status."""
    try:
        body: Any = answer.json()
    except ValueError:
        return f"/readyz is {answer.status_code}"
    checks = body.get("checks") if isinstance(body, dict) else None
    if not isinstance(checks, dict):
        return f"/readyz is {answer.status_code}"
    bad = [
        f"{name}: {check.get('detail') or 'not good'}"
        for name, check in checks.items()
        if isinstance(check, dict) and not check.get("ok", True)
    ]
    return "; ".join(bad) or f"/readyz is {answer.status_code}"
