"""What a fork server may have done before it forks, and what it has done."""

import subprocess
import sys
from pathlib import Path

import pytest

TWO_CHILDREN = """
import os
import actors.forkserver
from ray import ObjectID
threads = len(os.listdir("/proc/self/task"))
for _ in range(2):
    if os.fork() == 0:
        os.write(1, f"{ObjectID.from_random().hex()} {threads}\\n".encode())
        os._exit(0)
    os.wait()
"""

NEEDED = """
import asyncio, ssl, sys
import actors.forkserver
from actors.runtime import build_runtime
from controlplane.model import Endpoint, HealthSpec, HttpProbe
from controlplane.ports import Origin, Resource, ResourceState
from controlplane.settings import load_settings
from providers import registry
from tests.unit.test_probe import resource

async def life(environ):
    runtime = build_runtime(actor="tenant:acme", pool=1, environ=environ)
    runtime.compute["fake"], runtime.workflow["embedded"]
    nobody = resource(endpoints=(Endpoint("http", "http://127.0.0.1:1", 1),))
    await runtime.prober.probe(nobody, HealthSpec(http=HttpProbe(path="/")))
    await runtime.close()

environ = {
    "LANDLORD_HOME": sys.argv[1],
    "LANDLORD_COMPUTE_PROVIDERS": "fake",
    "LANDLORD_DATABASE_URL": "postgresql:///nowhere",
    "LANDLORD_INTERNAL_CLUSTER_ID": "here",
}
registry.import_enabled(load_settings(environ))
before, read = set(sys.modules), []
sys.addaudithook(lambda event, about: read.append(about[0]) if event == "open" else None)
ssl.SSLContext.load_verify_locations = lambda *_, **__: read.append("authorities.pem")
asyncio.run(life(environ))
lists = [path for path in read if str(path).endswith((".pem", "entry_points.txt"))]
print(sorted(set(sys.modules) - before) + lists)
"""


def test_an_actor_imports_nothing_and_reads_no_list_of_packages_or_authorities(tmp_path: Path) -> None:
    """Each actor would pay for it, where a fork has it from its parent."""
    done = subprocess.run([sys.executable, "-c", NEEDED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


WORKER = """
import os, sys
from actors.forkserver import become
from controlplane.local.fork_protocol import ForkRequest
command = [sys.argv[1], "--worker-id=1"]
become(ForkRequest(command, dict(os.environ), os.getcwd(), tuple(os.dup(number) for number in range(3))))
"""


KNOWN = """
import os, sys
import actors.forkserver
from abc import ABC
from ctypes import c_ulong
from actors.tenant.actor import TenantOwner
from controlplane.persistence.tables import tenants
from controlplane.ports import KeepsBelongings
from providers.compute.fake import FakeCompute

VALID, FLAGS = 1 << 19, 168  # of a class in CPython 3.11: that what is known of its attributes holds; where that stands
names = set(sys.modules)
tenants.c.name.nullable  # now Python knows it
known = c_ulong.from_address(id(type(tenants.c.name)) + FLAGS)
before = known.value & VALID
issubclass(FakeCompute, KeepsBelongings)
print(sorted(set(sys.modules) - names), before == VALID, known.value & VALID == VALID)
"""


def test_an_owner_has_its_modules_and_what_python_knows_of_classes_from_its_parent() -> None:
    """To ask for a protocol would make Python forget it."""
    done = subprocess.run([sys.executable, "-c", KNOWN], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True True\n"


ENDING = """
import atexit, sys, threading, time

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()
atexit.register(lambda: print("handler", end=" "))
threading.Thread(target=lambda: (time.sleep(0.1), print("thread", end=" "))).start()
"""


@pytest.mark.parametrize(
    ("last", "code", "said"),
    [
        ("", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no more')", 1, "no more\n"),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_a_worker_ends_as_python_does_but_is_not_taken_apart(tmp_path: Path, last: str, code: int, said: str) -> None:
    """To free each object of a fork takes as long as an owner's work."""
    script = tmp_path / "default_worker.py"
    script.write_text(ENDING + last)
    done = subprocess.run([sys.executable, "-c", WORKER, str(script)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("thread handler ", code), done.stderr
    assert said in done.stderr


def test_two_forks_draw_different_ids_and_have_one_thread() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_CHILDREN], capture_output=True, text=True, check=True)
    (first, one), (second, other) = (line.split() for line in done.stdout.splitlines())
    assert first != second
    assert one == other == "1"


SERVES_PARTS = """
import sys
import actors.forkserver
before = set(sys.modules)
import ray.serve._private.controller, ray.serve._private.proxy, ray.serve._private.haproxy
import ray.serve._private.replica, ray.serve.handle, controlplane.api.app
print(sorted(set(sys.modules) - before))
"""


def test_serves_actors_and_the_replicas_have_their_modules_from_the_fork_server() -> None:
    done = subprocess.run([sys.executable, "-c", SERVES_PARTS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_no_process_imports_the_sdk_of_an_engine_that_is_not_enabled() -> None:
    loaded = "import sys, serve_app; print(sorted({'boto3', 'botocore', 'restate'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
