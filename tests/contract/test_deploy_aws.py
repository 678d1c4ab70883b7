"""The template of `deploy/aws` on an emulated account: what it makes is what the provider needs."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from controlplane.model import Action
from controlplane.settings import load_settings
from providers.conformance.workflow_bench import Bench
from providers.workflow.stepfunctions.aws import Aws
from providers.workflow.stepfunctions.provider import StepFunctionsWorkflow
from tests.aws import AwsEmulator

TEMPLATE = Path(__file__).parents[2] / "deploy" / "aws" / "stepfunctions.yaml"


@pytest.fixture
def outputs(aws_environment: AwsEmulator) -> dict[str, str]:
    prefix = f"t{uuid4().hex[:8]}"
    clouds: Any = aws_environment.client("cloudformation")
    clouds.create_stack(
        StackName=prefix,
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": "Prefix", "ParameterValue": prefix}],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    (stack,) = clouds.describe_stacks(StackName=prefix)["Stacks"]
    clouds.close()
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {"Prefix": prefix, **{output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}}


async def test_the_outputs_are_settings_that_make_the_provider_available(
    aws_environment: AwsEmulator, outputs: dict[str, str], tmp_path: Path
) -> None:
    settings = load_settings(
        {
            "LANDLORD_HOME": str(tmp_path),
            "LANDLORD_AWS_ENDPOINT_URL": aws_environment.url,
            "LANDLORD_STEPFUNCTIONS_QUEUE_URL": outputs["QueueUrl"],
            "LANDLORD_STEPFUNCTIONS_ROLE_ARN": outputs["RoleArn"],
            "LANDLORD_STEPFUNCTIONS_PREFIX": outputs["Prefix"],
        }
    )
    assert StepFunctionsWorkflow.available(settings)
    provider = StepFunctionsWorkflow(
        Aws.build(settings),
        Bench(Action.PROVISION).store,
        None,  # type: ignore[arg-type]  # nothing waits here
        queue_url=outputs["QueueUrl"],
        role_arn=outputs["RoleArn"],
        prefix=outputs["Prefix"],
    )
    await provider.setup()
    assert (await provider.health()).healthy
    await provider.close()


def test_only_the_machines_send_to_the_queue_and_only_over_tls() -> None:
    """As written: the emulator makes no queue policies, and enforces none."""
    policy = read(TEMPLATE)["Resources"]["StepsPolicy"]["Properties"]
    assert policy["Queues"] == [{"Ref": "Steps"}]
    role, queue = {"GetAtt": "MachineRole.Arn"}, {"GetAtt": "Steps.Arn"}
    send, others, clear = policy["PolicyDocument"]["Statement"]
    assert {json.dumps(one["Resource"]) for one in (send, others, clear)} == {json.dumps(queue)}
    assert (send["Effect"], send["Principal"], send["Action"]) == ("Allow", {"AWS": role}, "sqs:SendMessage")
    assert (others["Effect"], others["Principal"], others["Action"]) == ("Deny", "*", "sqs:SendMessage")
    assert others["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": role}}
    assert (clear["Effect"], clear["Principal"], clear["Action"]) == ("Deny", "*", "sqs:*")
    assert clear["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def read(template: Path) -> Any:
    """A template, each `!Tag value` of it as `{Tag: value}`."""

    class Loader(yaml.SafeLoader):
        pass

    def tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
        plain = isinstance(node, yaml.ScalarNode)
        return {tag: loader.construct_scalar(node) if plain else loader.construct_sequence(node)}  # type: ignore[arg-type]

    Loader.add_multi_constructor("!", tagged)
    return yaml.load(template.read_text(), Loader)


def test_the_policy_covers_what_is_called_and_no_wildcard_action(
    aws_environment: AwsEmulator, outputs: dict[str, str]
) -> None:
    iam: Any = aws_environment.client("iam")
    arn = outputs["ControlPlanePolicyArn"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    iam.close()
    statements = (document if isinstance(document, dict) else json.loads(document))["Statement"]
    actions = {
        action
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert not any("*" in action for action in actions)
    source = "".join(
        path.read_text() for path in Path(__file__).parents[2].glob("providers/workflow/stepfunctions/*.py")
    )
    for action in actions - {"states:TagResource", "iam:PassRole"}:  # both are part of CreateStateMachine
        verb = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action.split(":")[1])
        assert verb.removeprefix("_") in source, f"{action} is allowed and never called"
