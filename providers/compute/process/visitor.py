"""Becomes a command that a person runs beside a tenant's own: with its account, control group, limits, directory and
environment.

Run as `python -I -S visitor.py DIRECTORY LAUNCH`, with a JSON object on stdin: the `command`, and the values of
`secrets`. LAUNCH is that of the start beside which it is to run. Before the command's output it writes one byte to
stdout. Without that, nothing was run: the tenant's own command has ended. Standard library only, like the keeper.
"""

from __future__ import annotations

import errno
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from providers.compute.process import cgroups
from providers.compute.process.confinement import become, hide
from providers.compute.process.files import read_json
from providers.compute.process.machine import runs

NOT_FOUND, NOT_STARTED = 127, 126
"""Exit codes, as those of a shell."""


def main(directory: str, launch: str) -> int:
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    hide()
    asked = json.load(sys.stdin)
    state, run = read_json(f"{directory}/state.json"), read_json(f"{directory}/run.json")
    if state is None or run is None or run.get("launch") != launch:
        return NOT_STARTED
    enforced = set()
    if group := run.get("cgroup"):
        cgroups.join(group, os.getpid())  # fails if the group is gone; from here on, its end is ours
        enforced = cgroups.limit(group, state.get("resources") or {})
    if not runs(run):
        return NOT_STARTED
    os.write(1, b"+")
    code, _, why = become(asked["command"], state, asked["secrets"], run["port"], enforced, 1).partition(" ")
    os.write(2, f"{why}\n".encode())
    return NOT_FOUND if int(code) == errno.ENOENT else NOT_STARTED


if __name__ == "__main__":
    os._exit(main(sys.argv[1], sys.argv[2]))
