"""An emulated AWS for the suite, as a pytest plugin: moto's server in a process of its own, spoken to over HTTP.

`AwsFront` stands before it where a test needs what the emulator does not do: refusals, states that pass too quickly.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import boto3
import httpx
import pytest

REGION = "eu-central-1"
ACCOUNT = "123456789012"
"""The emulator's default: that of credentials which no role gave."""
START_SECONDS = 60
STOP_SECONDS = 10
SETTINGS = {"stepfunctions": {"execute_state_machine": True}}

Answer = tuple[int, dict[str, Any]]
Forward = Callable[[], Answer]
Rule = Callable[[dict[str, Any], Forward], Answer]
"""What answers an operation: given the request's body, and a call that asks the emulator and gives its answer."""


@dataclass(frozen=True, slots=True)
class AwsEmulator:
    """`url` takes the calls of every service; `environment` is what the standard credential chain needs."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing-secret",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str) -> Any:
        """A client for the test's own eyes and hands; close it."""
        return _session().client(service, endpoint_url=self.url)


@contextlib.contextmanager
def running_aws(directory: Path) -> Iterator[AwsEmulator]:
    """An emulator of its own, ended with the block. `directory`: for its output."""
    port = _free_port()
    output = directory / "output"
    with output.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # It calls itself at MOTO_PORT when it runs state machines.
            env={**_without_aws(os.environ), "MOTO_PORT": str(port)},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_answer(server, url, output)
        yield AwsEmulator(url)
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def aws_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEmulator]:
    """One for the session: tests keep apart by names of their own."""
    with running_aws(tmp_path_factory.mktemp("aws")) as emulator:
        yield emulator


@pytest.fixture
def aws_environment(aws_emulator: AwsEmulator, monkeypatch: pytest.MonkeyPatch) -> AwsEmulator:
    """The emulator, and this test's environment set as for it."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in aws_emulator.environment.items():
        monkeypatch.setenv(name, value)
    return aws_emulator


class AwsFront:
    """An HTTP server that passes everything on to the emulator, but for operations that a rule answers.

    Rules are by operation (`CreateService`) and speak JSON; of a service that speaks XML (`AssumeRole` of STS) they can
    only refuse. `calls` counts what came in."""

    def __init__(self, emulator: AwsEmulator) -> None:
        self.rules: dict[str, Rule] = {}
        self.calls: dict[str, int] = {}
        self._emulator = emulator.url
        self._lock = threading.Lock()
        self._client = httpx.Client(transport=httpx.HTTPTransport(retries=3), trust_env=False, timeout=30)
        self._server = _Listening(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> "AwsFront":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._client.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def refuse(self, operation: str, code: str, message: str, status: int = 400) -> None:
        """From now on the operation is answered with this error."""
        self.rules[operation] = lambda request, forward: refusal(code, message, status)

    def change(self, operation: str, edit: Callable[[dict[str, Any]], None]) -> None:
        """From now on the emulator's good answers are edited before they are passed on."""

        def edited(request: dict[str, Any], forward: Forward) -> Answer:
            status, answer = forward()
            if status == 200:
                edit(answer)
            return status, answer

        self.rules[operation] = edited

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, content_type, answer = front._answer(self.path, dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        form = dict(parse_qsl(body.decode())) if "X-Amz-Target" not in headers else {}
        operation = form.get("Action") or headers.get("X-Amz-Target", "").rpartition(".")[2]
        with self._lock:
            self.calls[operation] = self.calls.get(operation, 0) + 1
            rule = self.rules.get(operation)
        if rule is None:
            passed = self._pass_on(path, headers, body)
            return passed.status_code, passed.headers.get("Content-Type", ""), passed.content

        forms: list[httpx.Response] = []

        def forward() -> Answer:
            passed = self._pass_on(path, headers, body)
            if form:
                forms.append(passed)
                return passed.status_code, {}
            return passed.status_code, passed.json()

        status, answer = rule(form or json.loads(body), forward)
        if forms:  # XML, which no rule edits
            return status, forms[-1].headers.get("Content-Type", ""), forms[-1].content
        if form:
            return status, "text/xml", _in_xml(answer).encode()
        return status, "application/x-amz-json-1.1", json.dumps(answer).encode()

    def _pass_on(self, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """Host stays that of the caller: the signature, and the service that the emulator reads from it."""
        kept = {name: value for name, value in headers.items() if name.lower() not in ("content-length", "connection")}
        return self._client.post(self._emulator + path, headers=kept, content=body)


def let_no_heartbeat_repeat_a_failure(front: AwsFront) -> None:
    """The emulator gives a task that is tried again its old token, and takes a heartbeat for that token as its old
    failure. AWS gives each attempt a token of its own."""
    failed: set[str] = set()

    def failure(request: dict[str, Any], forward: Forward) -> Answer:
        failed.add(request["taskToken"])
        return forward()

    def heartbeat(request: dict[str, Any], forward: Forward) -> Answer:
        return (200, {}) if request["taskToken"] in failed else forward()

    front.rules["SendTaskFailure"] = failure
    front.rules["SendTaskHeartbeat"] = heartbeat


class _Listening(ThreadingHTTPServer):
    request_queue_size = 128  # five, the default, are less than one client opens at once


def machines_of(states: Any) -> dict[str, str]:
    """ARN by name of every state machine, over all pages."""
    pages = states.get_paginator("list_state_machines").paginate()
    return {machine["name"]: machine["stateMachineArn"] for page in pages for machine in page["stateMachines"]}


def executions_of(states: Any, machine: str) -> list[str]:
    """Names of all executions of the machine with this ARN."""
    pages = states.get_paginator("list_executions").paginate(stateMachineArn=machine)
    return [execution["name"] for page in pages for execution in page["executions"]]


def refusal(code: str, message: str, status: int = 400) -> Answer:
    """As AWS's JSON protocols word an error."""
    return status, {"__type": code, "message": message}


@cache
def _session() -> boto3.session.Session:
    """One for all: each would read the models of its services anew."""
    return boto3.session.Session("testing", "testing-secret", region_name=REGION)


def _in_xml(answer: Mapping[str, Any]) -> str:
    return (
        "<ErrorResponse><Error><Type>Sender</Type>"
        f"<Code>{escape(answer['__type'])}</Code><Message>{escape(answer['message'])}</Message>"
        "</Error><RequestId>1</RequestId></ErrorResponse>"
    )


def _without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(("AWS_", "MOTO_"))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_answer(server: "subprocess.Popen[bytes]", url: str, output: Path) -> None:
    """Until it takes its settings: the answer that says it is up."""
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and server.poll() is None:
            try:
                if client.post(f"{url}/moto-api/config", json=SETTINGS).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
    last = "\n".join(output.read_text(errors="replace").splitlines()[-10:])
    pytest.fail(f"the AWS emulator does not come up:\n{last}")
