"""POST and PATCH until ready with each workflow engine: `python -m benchmarks.engines [--rounds N]`.

Milliseconds on `process`, one after the other, with actors that stay. `embedded` is the floor of the others: the same
work without an engine between. Restate is its real server, Step Functions and SQS are moto's, which is slower than AWS
in some calls and faster in others.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.installed import home, installed
from benchmarks.lines import line
from benchmarks.path import process_spec
from benchmarks.results import write
from tests.aws import ACCOUNT, AwsFront, let_no_heartbeat_repeat_a_failure, running_aws
from tests.e2e.installation import Installation, gone, ready
from tests.restate import RestateServer, installed_program

ENGINES = ("embedded", "restate", "stepfunctions")
QUEUE = "bench-steps"
LONGEST = 300.0


async def measure(installation: Installation, rounds: int) -> list[dict[str, Any]]:
    created: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    changed: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    async with installation.http() as client:
        for number in range(rounds):
            for engine in ENGINES:
                name = f"bench-{engine}-{number}"
                spec = {**process_spec(), "workflow": {"provider": engine}}
                began = time.perf_counter()
                _accepted(await client.post("/tenants", json={"name": name, "spec": spec}))
                await ready(client, name, LONGEST, pause=0.005)
                created[engine].append((time.perf_counter() - began) * 1000)
                patch = {"spec": {"compute": {"config": {"env": {"COLOR": "red"}}}}}
                began = time.perf_counter()
                _accepted(await client.patch(f"/tenants/{name}", json=patch))
                await ready(client, name, LONGEST, pause=0.005)
                changed[engine].append((time.perf_counter() - began) * 1000)
                _accepted(await client.delete(f"/tenants/{name}"))
                await gone(client, name, LONGEST)
    lines = []
    for metric, samples in (("post_ready", created), ("patch_ready", changed)):
        floor = statistics.median(samples["embedded"])
        for engine in ENGINES:
            lines.append(line(f"{metric}_{engine}", samples[engine], None if engine == "embedded" else floor))
    return lines


def _accepted(answer: httpx.Response) -> None:
    """Raises AssertionError with the problem: an engine that takes no execution says why."""
    assert answer.status_code == 202, answer.text


@contextmanager
def three_engines(place: Path) -> Iterator[dict[str, str]]:
    """The settings of an installation with all of them, which run for as long as the block."""
    restate = RestateServer(installed_program(), place / "restate")
    (place / "restate").mkdir()
    restate.start()
    try:
        with running_aws(place) as aws, AwsFront(aws) as front:
            let_no_heartbeat_repeat_a_failure(front)
            sqs = aws.client("sqs")
            queue = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
            sqs.close()
            yield {
                **aws.environment,
                "LANDLORD_RESTATE_INGRESS_URL": restate.ingress,
                "LANDLORD_RESTATE_ADMIN_URL": restate.admin,
                "LANDLORD_RESTATE_UNSIGNED": "true",
                "LANDLORD_AWS_ENDPOINT_URL": front.url,
                "LANDLORD_STEPFUNCTIONS_QUEUE_URL": queue,
                "LANDLORD_STEPFUNCTIONS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/landlord-machines",
                "LANDLORD_STEPFUNCTIONS_PREFIX": "bench",
                # The emulator is slower than AWS on a busy machine; to wait is better than to be refused.
                "LANDLORD_TRIGGER_TIMEOUT_SECONDS": "60",
            }
    finally:
        restate.kill()


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rounds", type=int, default=10)
    options = arguments.parse_args(words)
    with home() as place, three_engines(place) as settings:
        settings |= {"LANDLORD_COMPUTE_PROVIDERS": "process", "LANDLORD_ACTOR_IDLE_SECONDS": "never"}
        with installed(place / "h", **settings) as installation:
            write("engines", asyncio.run(measure(installation, options.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
