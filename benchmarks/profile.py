"""Where a replica's time goes under load: `python -m benchmarks.profile [--seconds N] [--tenants N]`.

Per cent of the samples of requests in one replica while it answers GETs of one tenant, eight at a time; samples of its
other threads, and while it waits, do not count. `width`: in a function or in what it calls, its width in a flame graph;
`own`: in the function itself. The ten widest of those that do not hold nearly everything, and those of the ten that
take most by themselves which are not among them. All of it is a flame graph beside the results. Recorded by py-spy,
which Ray brings along.
"""

import argparse
import asyncio
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import flame
from benchmarks.installed import database_url, home, installed
from benchmarks.reads import Connection, fill, replicas
from benchmarks.results import RESULTS, write
from tests.e2e.installation import Installation

AT_ONCE = 8
WIDEST = 10
WAY_IN = 0.6
"""A function that holds a larger share than this is the way in, and says nothing."""
REQUESTS = ("httptools_impl.py", "_private/replica.py", "starlette/", "fastapi/", "controlplane/")
"""What is done for a request is in one of these places, or called from there: Serve answers it on two loops. The other
threads of a replica wait, which the recorder does not always see."""
PER_SECOND = 100
PICTURE = RESULTS / "flame-get.svg"
_LINE = re.compile(r":\d+\)$")


def requests(stacks: Iterable[str]) -> Iterator[tuple[list[str], int]]:
    """Of py-spy's raw form (`outermost;…;innermost count` a line), the stacks of requests and how often each was seen.
    A function is `name (path)`, without its line and the thread around it."""
    for stack in stacks:
        frames, _, number = stack.rpartition(" ")
        if any(place in frames for place in REQUESTS):
            functions = [_LINE.sub(")", frame) for frame in frames.split(";")]
            yield [one for one in functions if not one.endswith("(threading.py)")], int(number)


def shares(stacks: Iterable[str]) -> list[dict[str, Any]]:
    """Of py-spy's raw form. Raises ValueError if no request is among them."""
    wide, own = Counter[str](), Counter[str]()
    total = 0
    for stack, number in requests(stacks):
        functions = [_short(function) for function in stack]
        total += number
        own[functions[-1]] += number
        for function in set(functions):
            wide[function] += number
    if not total:
        raise ValueError("no request was recorded")
    widest = [function for function, count in wide.most_common() if count <= WAY_IN * total][:WIDEST]
    most = [function for function, _ in own.most_common(WIDEST) if function not in widest]
    return [
        {
            "metric": function,
            "unit": "% of samples",
            "width": round(100 * wide[function] / total, 1),
            "own": round(100 * own[function] / total, 1),
        }
        for function in (*widest, *most)
    ]


def _short(function: str) -> str:
    """With the last folder of its path."""
    name, _, path = function.partition(" (")
    return f"{name} ({'/'.join(Path(path.rstrip(')')).parts[-2:])})" if path else name


async def asked(installation: Installation, tenants: int, recording: "asyncio.Task[None]") -> None:
    """GETs until the recording is over."""

    async def ask() -> None:
        async with Connection(installation.port, installation.token) as connection:
            while not recording.done():
                await connection.get(f"/v1/tenants/t-{random.randrange(tenants):06}")

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))


async def record_under_load(installation: Installation, output: Path, tenants: int, seconds: int) -> None:
    replica = replicas(installation, "landlord:")[0]
    spy = str(Path(sys.executable).with_name("py-spy"))
    options = ["--duration", str(seconds), "--rate", str(PER_SECOND), "--format", "raw", "--output", str(output)]
    words = [spy, "record", "--pid", str(replica.pid), *options]

    async def record() -> None:
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"py-spy: {done.stderr.strip()}")

    recording = asyncio.create_task(record())
    await asked(installation, tenants, recording)
    await recording


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--seconds", type=int, default=20)
    arguments.add_argument("--tenants", type=int, default=5000)
    options = arguments.parse_args(words)
    with home() as place, installed(place, purge=False, LANDLORD_COMPUTE_PROVIDERS="process") as installation:
        asyncio.run(fill(database_url(installation), options.tenants))
        output = place / "stacks"
        asyncio.run(record_under_load(installation, output, options.tenants, options.seconds))
        stacks = output.read_text().splitlines()
        write("profile", shares(stacks))
        PICTURE.write_text(flame.drawn(flame.tree(requests(stacks))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
