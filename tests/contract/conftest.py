"""What several files of the contract tests share."""

from collections.abc import Iterator

import pytest

from tests.aws import AwsEmulator, AwsFront, let_no_heartbeat_repeat_a_failure
from tests.contract.stepfunctions_bench import Account


@pytest.fixture
def account(aws_environment: AwsEmulator) -> Iterator[Account]:
    with AwsFront(aws_environment) as front:
        let_no_heartbeat_repeat_a_failure(front)
        account = Account(aws_environment, front)
        yield account
        account.close()
