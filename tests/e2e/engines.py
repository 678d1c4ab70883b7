"""An installation with three engines, as a pytest plugin: embedded, a real Restate server and Step Functions on an
emulated account. One for each module that asks for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws import ACCOUNT, AwsEmulator, AwsFront, let_no_heartbeat_repeat_a_failure
from tests.collector import Collector, collecting
from tests.e2e.installation import Installation, free_port
from tests.restate import RestateServer

ENGINES = ("embedded", "restate", "stepfunctions")
QUEUE = "e2e-steps"


@pytest.fixture(scope="module")
def restate(restate_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestateServer]:
    server = RestateServer(restate_program, tmp_path_factory.mktemp("restate-e2e"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def aws(aws_emulator: AwsEmulator) -> Iterator[AwsFront]:
    with AwsFront(aws_emulator) as front:
        let_no_heartbeat_repeat_a_failure(front)
        yield front


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Takes the traces of the three engines."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def three_engines(
    restate: RestateServer,
    aws: AwsFront,
    aws_emulator: AwsEmulator,
    docker_engine: object,
    short_dir: Path,
    collector: Collector,
) -> Iterator[Installation]:
    sqs = aws_emulator.client("sqs")
    queue = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    sqs.close()
    installation = Installation(
        short_dir / "engines",
        free_port(),
        **aws_emulator.environment,
        LANDLORD_COMPUTE_PROVIDERS="docker,ecs",
        LANDLORD_RESTATE_INGRESS_URL=restate.ingress,
        LANDLORD_RESTATE_ADMIN_URL=restate.admin,
        LANDLORD_RESTATE_UNSIGNED="true",
        LANDLORD_AWS_ENDPOINT_URL=aws.url,
        LANDLORD_STEPFUNCTIONS_QUEUE_URL=queue,
        LANDLORD_STEPFUNCTIONS_ROLE_ARN=f"arn:aws:iam::{ACCOUNT}:role/landlord-machines",
        LANDLORD_STEPFUNCTIONS_PREFIX="e2e",
        LANDLORD_STEP_MAX_ATTEMPTS="20",
        LANDLORD_OTLP_ENDPOINT=collector.url,
        # A cold actor on a busy machine: the answer is to be the engine's refusal, not that nobody was there in time.
        LANDLORD_TRIGGER_TIMEOUT_SECONDS="60",
    )
    installation.up()
    yield installation
    installation.run("down", "--purge", timeout=300)
