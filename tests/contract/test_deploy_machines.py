"""What `deploy/aws` has for machines: the templates as cfn-lint reads them, the stack on an emulated account, and a
machine that Ray's own provider starts there by cluster.yaml."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from controlplane.settings import load_settings
from tests.aws import REGION, AwsEmulator

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "aws"
TEMPLATES = [DEPLOY / "machines.yaml", DEPLOY / "stepfunctions.yaml"]

UP = """
import json, sys
from ray.autoscaler._private.commands import _bootstrap_config
from ray.autoscaler._private.providers import _get_node_provider
config = json.load(sys.stdin)
config = _bootstrap_config(config, no_config_cache=True)
provider = _get_node_provider(config["provider"], config["cluster_name"])
kind = config["head_node_type"]
tags = {"ray-node-type": "head", "ray-user-node-type": kind}
print(json.dumps(list(provider.create_node(config["available_node_types"][kind]["node_config"], tags, 1))))
"""
"""What `ray up` does before it has a machine to speak to."""


@dataclass(frozen=True)
class Stack:
    prefix: str
    vpc: str
    subnets: list[str]
    outputs: dict[str, str]


@pytest.fixture(scope="module")
def stack(aws_emulator: AwsEmulator) -> Stack:
    prefix = f"t{uuid4().hex[:8]}"
    ec2, clouds = aws_emulator.client("ec2"), aws_emulator.client("cloudformation")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"] if one["VpcId"] == vpc][:2]
    given = {"Prefix": prefix, "Vpc": vpc, "Subnets": ",".join(subnets)}
    given |= {"OperatorCidr": "10.1.0.0/16", "ClientCidr": "10.2.0.0/16"}
    clouds.create_stack(
        StackName=prefix,
        TemplateBody=TEMPLATES[0].read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    (made,) = clouds.describe_stacks(StackName=prefix)["Stacks"]
    ec2.close()
    clouds.close()
    assert made["StackStatus"] == "CREATE_COMPLETE"
    return Stack(prefix, vpc, subnets, {one["OutputKey"]: one["OutputValue"] for one in made["Outputs"]})


def test_the_templates_are_what_cloudformation_takes() -> None:
    program = Path(sys.executable).with_name("cfn-lint")
    read = subprocess.run([program, *TEMPLATES], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stdout) == (0, "")


def test_only_the_machines_reach_the_database(aws_emulator: AwsEmulator, stack: Stack) -> None:
    rds, ec2 = aws_emulator.client("rds"), aws_emulator.client("ec2")
    (database,) = rds.describe_db_instances(DBInstanceIdentifier=f"{stack.prefix}-database")["DBInstances"]
    assert database["Endpoint"]["Address"] == stack.outputs["DatabaseHost"]
    assert (database["PubliclyAccessible"], database["StorageEncrypted"]) == (False, True)
    # As written: the emulator gives each database the network's default group.
    assert "VPCSecurityGroups:\n        - !GetAtt DatabaseAccess.GroupId\n" in TEMPLATES[0].read_text()
    machines = stack.outputs["SecurityGroup"]
    named = [{"Name": "tag:Name", "Values": [f"{stack.prefix}-database"]}]
    (its,) = ec2.describe_security_groups(Filters=named)["SecurityGroups"]
    assert [(port["FromPort"], sources(port)) for port in its["IpPermissions"]] == [(5432, [machines])]
    (theirs,) = ec2.describe_security_groups(GroupIds=[machines])["SecurityGroups"]
    assert {(port["FromPort"], port["ToPort"], *sources(port)) for port in theirs["IpPermissions"]} == {
        (22, 22, "10.1.0.0/16"),
        (443, 443, "10.2.0.0/16"),
        (0, 65535, machines),
    }
    rds.close()
    ec2.close()


def sources(port: dict[str, Any]) -> list[str]:
    groups = [pair["GroupId"] for pair in port["UserIdGroupPairs"]]
    return groups + [one["CidrIp"] for one in port["IpRanges"]]


def test_no_role_may_everything(aws_emulator: AwsEmulator, stack: Stack) -> None:
    """The head launches machines of this cluster with the worker's role; both read two secrets, and nothing else."""
    iam = aws_emulator.client("iam")
    rights: dict[str, list[dict[str, Any]]] = {}
    for role in ("head", "worker"):
        attached = iam.list_attached_role_policies(RoleName=f"{stack.prefix}-{role}")["AttachedPolicies"]
        rights[role] = [one for policy in attached for one in statements(iam, policy["PolicyArn"])]
    iam.close()
    assert {action for one in rights["worker"] for action in actions(one)} == {"secretsmanager:GetSecretValue"}
    assert [one for one in rights["worker"] if one not in rights["head"]] == []
    for one in rights["head"]:
        assert not any("*" in action for action in actions(one))
        wide = one["Resource"] == "*"
        assert not wide or all(action.startswith("ec2:Describe") for action in actions(one)), one
    (passed,) = [one for one in rights["head"] if "iam:PassRole" in actions(one)]
    assert passed["Resource"].endswith(f":role/{stack.prefix}-worker")
    tag = {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": stack.prefix}}
    assert [one["Condition"] for one in rights["head"] if "ec2:TerminateInstances" in actions(one)] == [tag]


def statements(iam: Any, arn: str) -> list[dict[str, Any]]:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    read: list[dict[str, Any]] = (document if isinstance(document, dict) else json.loads(document))["Statement"]
    return read


def actions(statement: dict[str, Any]) -> list[str]:
    named = statement["Action"]
    return [named] if isinstance(named, str) else list(named)


def test_ray_starts_a_machine_with_this_role_in_this_network(
    aws_environment: AwsEmulator, stack: Stack, tmp_path: Path
) -> None:
    """By Ray's own validation and its own provider."""
    ec2 = aws_environment.client("ec2")
    config = yaml.safe_load((DEPLOY / "cluster.yaml").read_text())
    assert config["provider"]["region"] == REGION
    config["cluster_name"] = stack.prefix
    config["auth"]["ssh_private_key"] = str(tmp_path / "key.pem")
    for kind in config["available_node_types"].values():
        its = kind["node_config"]
        role = its["IamInstanceProfile"]["Name"].removeprefix("landlord-")
        its["IamInstanceProfile"]["Name"] = stack.outputs[f"{role.capitalize()}Profile"]
        its["SecurityGroupIds"] = [stack.outputs["SecurityGroup"]]
        its["SubnetIds"] = stack.subnets[:1]
        its["ImageId"] = ec2.describe_images()["Images"][0]["ImageId"]
    done = subprocess.run(
        [sys.executable, "-c", UP],
        env={**os.environ, "AWS_ENDPOINT_URL": aws_environment.url},
        input=json.dumps(config),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    (id,) = json.loads(done.stdout.splitlines()[-1])
    (machine,) = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"]
    assert machine["SubnetId"] == stack.subnets[0]
    assert [one["GroupId"] for one in machine["SecurityGroups"]] == [stack.outputs["SecurityGroup"]]
    assert machine["IamInstanceProfile"]["Arn"].endswith(f"/{stack.outputs['HeadProfile']}")
    # The tag by which the head's role knows the machines that it may end.
    assert {"Key": "ray-cluster-name", "Value": stack.prefix} in machine["Tags"]
    ec2.terminate_instances(InstanceIds=[id])
    ec2.close()


def test_a_machine_has_the_settings_and_the_token_of_the_secrets(aws_environment: AwsEmulator, tmp_path: Path) -> None:
    """As AWS completes the secret with an attachment, which the emulator does not know."""
    prefix, secrets = f"t{uuid4().hex[:8]}", aws_environment.client("secretsmanager")
    database = {"username": "landlord", "password": "p/w", "host": "db.test", "port": 5432, "dbname": "rows"}
    secrets.create_secret(Name=f"{prefix}/database", SecretString=json.dumps(database))
    home = tmp_path / "home"
    assert "Secrets Manager" in shared(home, prefix, aws_environment).stderr
    secrets.create_secret(Name=f"{prefix}/ray-token", SecretString="a" * 64)
    secrets.close()

    done = shared(home, prefix, aws_environment, "compute_providers=ecs")
    assert done.returncode == 0, done.stderr
    settings = load_settings({"LANDLORD_HOME": str(home)})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == (
        "postgresql://landlord:p%2Fw@db.test:5432/rows?sslmode=verify-full&sslrootcert=%2Frds.pem"
    )
    assert settings.compute_providers == ("ecs",)
    assert (home / "ray-token").read_text() == "a" * 64
    assert {(home / name).stat().st_mode & 0o777 for name in ("ray-token", "config.yaml")} == {0o600}

    # Once more, with another setting: the first one stays.
    assert shared(home, prefix, aws_environment, "port=8100").returncode == 0
    assert load_settings({"LANDLORD_HOME": str(home)}).compute_providers == ("ecs",)


def shared(home: Path, prefix: str, aws: AwsEmulator, *settings: str) -> "subprocess.CompletedProcess[str]":
    words = ["--region", REGION, "--prefix", prefix, "--ca", "/rds.pem", *settings]
    done = subprocess.run(
        [sys.executable, DEPLOY / "shared.py", *words],
        env={**os.environ, "AWS_ENDPOINT_URL": aws.url, "LANDLORD_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or len(done.stderr.splitlines()) == 1, done.stderr
    return done
