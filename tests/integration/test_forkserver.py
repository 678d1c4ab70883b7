"""What a fork server may have done before it forks."""

import subprocess
import sys

TWO_CHILDREN = """
import os, threading
import actors.forkserver
from ray import ObjectID
for _ in range(2):
    if os.fork() == 0:
        os.write(1, f"{ObjectID.from_random().hex()} {threading.active_count()}\\n".encode())
        os._exit(0)
    os.wait()
"""


def test_two_forks_draw_different_ids_and_have_one_thread() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_CHILDREN], capture_output=True, text=True, check=True)
    (first, one), (second, other) = (line.split() for line in done.stdout.splitlines())
    assert first != second
    assert one == other == "1"
