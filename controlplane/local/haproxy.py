"""What Ray Serve starts instead of HAProxy: closes the binds that Ray leaves open, then becomes the real HAProxy.

Ray's configuration binds metrics and statistics to all addresses and gives the admin socket mode 666, with no setting
for either. And a HAProxy whose Ray is killed stays and keeps its ports: so it is told to end with its parent.

Runs as a script of its own (`python -IS haproxy.py <real haproxy> -db -f <file> …`) in about 20 ms, so it imports
nothing but the standard library. The pid stays the same through it all, which Ray relies on.
"""

import ctypes
import itertools
import os
import re
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1

_EVERY_ADDRESS = re.compile(r"^(\s*bind\s+)(?:\*|0\.0\.0\.0|\[::\]|::)?:(?=\d)", re.MULTILINE)
_OPEN_SOCKET = re.compile(r"^(\s*stats\s+socket\s+.*\bmode\s+)\d+", re.MULTILINE)


def close_binds(configuration: str) -> str:
    """The same configuration with every listener on loopback and the admin socket for its owner only."""
    return _OPEN_SOCKET.sub(r"\g<1>600", _EVERY_ADDRESS.sub(r"\g<1>127.0.0.1:", configuration))


def configuration_files(arguments: list[str]) -> list[str]:
    """What follows each `-f`."""
    return [value for flag, value in itertools.pairwise(arguments) if flag == "-f"]


def launcher(python: str, program: Path) -> str:
    """A shell script for RAY_SERVE_HAPROXY_BINARY_PATH, which must name one executable file."""
    words = " ".join(f"'{word}'" for word in (python, "-IS", __file__, str(program)))
    return f'#!/bin/sh\nexec {words} "$@"\n'


def main(arguments: list[str]) -> None:
    program, *rest = arguments
    for name in configuration_files(rest):
        file = Path(name)
        file.write_text(close_binds(file.read_text()))
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        # It died before the kernel knew that we want to hear of it.
        sys.exit(1)
    os.umask(0o077)
    os.execv(program, [program, *rest])


if __name__ == "__main__":
    main(sys.argv[1:])
