"""`landlord demo`: a first tenant, from nothing to an answer over HTTP."""

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import typer

from controlplane.cli.console import errors, output
from controlplane.cli.exit_codes import Exit
from controlplane.cli.next_steps import after_failure
from controlplane.cli.show_tenant import await_tenant
from controlplane.client import connection
from controlplane.local.paths import Home
from controlplane.settings import load_settings
from landlord_client import Client, Problem, Tenant

NAME = "demo"
TIMEOUT_SECONDS = 120.0
PAGE = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"Hello from the tenant demo, a process that Landlord keeps running.\\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Page).serve_forever()
"""

DEMO: Mapping[str, Any] = {
    "name": NAME,
    "labels": {"purpose": "demo"},
    "spec": {
        "compute": {"provider": "process", "config": {"command": ["python3", "-c", PAGE, "{address}", "{port}"]}},
        "health": {"http": {"path": "/"}, "interval_seconds": 2},
    },
}


def demo() -> None:
    """Create the tenant `demo` on the process provider, wait until it is ready, and call it.

    Example: landlord demo
    """
    settings = load_settings()
    with connection.client_of(settings) as client:
        tenant = await_tenant(client, _ensure(client), TIMEOUT_SECONDS)
    if tenant.status != "ready" or not tenant.observed.endpoints:
        reason = tenant.workflow.error or tenant.status_message or "no endpoint"
        errors.print(f"{NAME} is {tenant.status}: {reason}", style="red", markup=False)
        errors.print(f"next: {after_failure(tenant)}", markup=False)
        raise typer.Exit(Exit.FAILED)
    url = tenant.observed.endpoints[0].url
    answer = httpx.get(url, timeout=5, trust_env=False)
    output.print(f"\n$ curl {url}\n{answer.text.rstrip()}\n", markup=False)
    header = shlex.quote(str(Home(settings.home).token_header))
    output.print("Try next:")
    activate = Path(sys.executable).with_name("activate")
    if shutil.which("landlord") is None and activate.exists():
        output.print(f"  . {shlex.quote(str(activate))}", markup=False)
    output.print(f"  curl -H @{header} {settings.base_url}/v1/tenants", markup=False)
    output.print("  landlord tenant list", markup=False)


def _ensure(client: Client) -> Tenant:
    """Return the tenant. If it does not exist, create it; if it failed, retry it."""
    try:
        return client.create_tenant(DEMO)
    except Problem as error:
        if error.code != "tenant_exists":
            raise
    tenant = client.get_tenant(NAME)
    return client.retry_tenant(NAME) if tenant.status == "failed" else tenant
