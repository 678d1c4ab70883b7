"""deploy/kuberay: the file against KubeRay's schema, and what KubeRay would have Ray do, on a Ray of this machine."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import jsonschema
import psutil
import pytest
import yaml

from tests.pages import ROOT

FILE = ROOT / "deploy" / "kuberay" / "landlord.yaml"
SCHEMA = json.loads((ROOT / "tests" / "data" / "kuberay-rayservice-v1.schema.json").read_text())
SERVICE, POLICY = yaml.safe_load_all(FILE.read_text())
CLUSTER = SERVICE["spec"]["rayClusterConfig"]
HEAD = CLUSTER["headGroupSpec"]
(GROUP,) = CLUSTER["workerGroupSpecs"]
SECONDS = 120
ADDRESS = "10.77.0.2"


def container(group: dict[str, Any]) -> dict[str, Any]:
    (found,) = group["template"]["spec"]["containers"]
    return dict(found)


def unknown(value: Any, schema: dict[str, Any], at: str) -> Iterator[str]:
    """Fields that the schema does not name: Kubernetes drops them silently."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from unknown(one, schema.get("items", {}), f"{at}[{number}]")
    if not isinstance(value, dict) or "properties" not in schema:
        return
    for name, one in value.items():
        if name in schema["properties"]:
            yield from unknown(one, schema["properties"][name], f"{at}.{name}")
        else:
            yield f"{at}.{name}"


def test_the_service_is_what_kuberay_takes() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(SERVICE)
    assert list(unknown({"spec": SERVICE["spec"]}, SCHEMA, "")) == []


def test_the_schema_would_tell() -> None:
    wrong = {"spec": {"rayClusterConfig": {"headGroupSpec": {"tmplate": {}}}, "serveConfigV2": 5}}
    said = [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(wrong)]
    assert any("'template' is a required property" in one for one in said)
    assert any("5 is not of type 'string'" in one for one in said)
    assert list(unknown(wrong, SCHEMA, "")) == [".spec.rayClusterConfig.headGroupSpec.tmplate"]


def test_secrets_are_references_and_all_pods_agree() -> None:
    head, worker = container(HEAD), container(GROUP)
    assert head["env"] == worker["env"]
    assert head["image"] == worker["image"]
    sources = {one["name"]: one.get("valueFrom") for one in head["env"]}
    for name in ("LANDLORD_DATABASE_URL", "LANDLORD_ADMIN_TOKEN"):
        assert sources[name]["secretKeyRef"]["name"] == "landlord"
    assert CLUSTER["authOptions"] == {"mode": "token"}
    assert POLICY["spec"]["podSelector"]["matchLabels"] == {"ray.io/is-ray-node": "yes"}


class Pod:
    """A Ray head as KubeRay would start it, in a network and among processes of its own."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._directory, self.environment = directory, environment
        self._outer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        given = HEAD["rayStartParams"]
        ours = {"node-ip-address": ADDRESS, "temp-dir": self._directory, "object-store-memory": 80_000_000}
        options = [f"--{name}={value}" for name, value in {**given, **ours}.items() if value != "true"]
        flags = [f"--{name}" for name, value in given.items() if value == "true"]
        script = f'ip link set lo up && ip addr add {ADDRESS}/32 dev lo && exec "$@"'
        apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *options, *flags]
        with (self._directory / "output").open("wb") as output:
            self._outer = subprocess.Popen(
                [*apart, "sh", "-euc", script, "sh", *ray],
                env=self.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        assert self._outer is not None
        first = psutil.Process(self._outer.pid).children()
        if not first:  # not yet, or not any more
            return subprocess.CompletedProcess(words, 1, "", "there is no such machine")
        return subprocess.run(
            ["nsenter", "--target", str(first[0].pid), "--net", "--mount", "--pid", f"--wdns={ROOT}", "--", *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def get(self, port: int, path: str, *more: str) -> tuple[int, str]:
        """Status, 0 without one, and body."""
        told = self.run(
            "curl", "-sS", "-m", "60", "-w", "\n%{http_code}", *more, f"http://127.0.0.1:{port}{path}"
        ).stdout
        body, _, status = told.rpartition("\n")
        return int(status or 0), body

    def until(self, condition: Callable[[], bool], what: str) -> None:
        give_up = time.monotonic() + SECONDS
        while not condition():
            assert self._outer is not None
            if self._outer.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"{what}: not within {SECONDS} s\n{(self._directory / 'output').read_text()[-3000:]}")
            time.sleep(0.5)

    def end(self) -> None:
        if self._outer is not None:
            self._outer.kill()
            self._outer.wait()


@pytest.fixture
def pod(database_url: str) -> Iterator[Pod]:
    directory = Path(tempfile.mkdtemp(prefix="ll-k-"))
    given = {
        "LANDLORD_DATABASE_URL": database_url,
        "LANDLORD_ADMIN_TOKEN": token_hex(32),
        "LANDLORD_INTERNAL_CLUSTER_ID": "landlord-abcde",
        # There is no AWS here.
        "LANDLORD_COMPUTE_PROVIDERS": "fake",
    }
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LANDLORD_", "RAY_", "AWS_"))},
        **{one["name"]: given.get(one["name"]) or one["value"] for one in container(HEAD)["env"]},
        "LANDLORD_HOME": str(directory / "home"),
        # As KubeRay's authOptions set them.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token_hex(32),
    }
    there = Pod(directory, environment)
    there.start()
    yield there
    there.end()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.long
@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_its_application_runs_on_a_ray_that_somebody_else_starts(pod: Pod, tmp_path: Path) -> None:
    ready, live = container(HEAD)["readinessProbe"]["httpGet"], container(GROUP)["readinessProbe"]["httpGet"]
    pod.until(lambda: pod.get(ready["port"], ready["path"])[0] == 200, "the head's readiness")

    config = tmp_path / "serve.yaml"
    config.write_text(SERVICE["spec"]["serveConfigV2"])
    serve = [sys.executable, "-m", "ray.serve.scripts", "deploy", f"--address=http://{ADDRESS}:8265", str(config)]
    deployed = pod.run(*serve)
    assert deployed.returncode == 0, deployed.stderr
    pod.until(lambda: pod.get(live["port"], live["path"])[0] == 200, "a worker's readiness")
    pod.until(lambda: pod.get(8000, "/readyz")[0] == 200, "/readyz")

    bearer = f"Authorization: Bearer {pod.environment['LANDLORD_ADMIN_TOKEN']}"
    body = json.dumps({"name": "acme", "spec": {"compute": {"provider": "fake", "config": {}}}})
    status, told = pod.get(8000, "/v1/tenants", "-H", bearer, "-H", "Prefer: wait=60", "--json", body)
    assert (status, json.loads(told).get("status")) == (200, "ready"), told
    status, told = pod.get(8000, "/v1/nodes", "-H", bearer)
    assert [node["alive"] for node in json.loads(told)["items"]] == [True]
