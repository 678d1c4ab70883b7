"""What `deploy/aws` has for machines: the templates as cfn-lint reads them, the stack on an emulated account, and the
cluster that `ray up` makes there by cluster.yaml, where each machine is a directory."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from controlplane.local.authority import NodeCertificates
from controlplane.settings import load_settings
from tests.aws import REGION, AwsEmulator, AwsFront
from tests.contract.ssh_bench import Machines
from tests.pages import ROOT

DEPLOY = ROOT / "deploy" / "aws"
TEMPLATES = [DEPLOY / "machines.yaml", DEPLOY / "stepfunctions.yaml"]
DATABASE = {"username": "landlord", "password": "p/w", "host": "db.test", "port": 5432, "dbname": "rows"}


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
        (8000, 8000, "10.2.0.0/16"),
        (0, 65535, machines),
    }
    rds.close()
    ec2.close()


def sources(port: dict[str, Any]) -> list[str]:
    groups = [pair["GroupId"] for pair in port["UserIdGroupPairs"]]
    return groups + [one["CidrIp"] for one in port["IpRanges"]]


def test_no_role_may_everything(aws_emulator: AwsEmulator, stack: Stack) -> None:
    """The head launches machines of this cluster with the worker's role; both read one secret, and nothing else."""
    iam = aws_emulator.client("iam")
    rights = {role: rights_of(iam, f"{stack.prefix}-{role}") for role in ("head", "worker")}
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
    assert [one["Condition"] for one in rights["head"] if one["Sid"] == "SayHowFarTheyAre"] == [tag]


def rights_of(iam: Any, role: str) -> list[dict[str, Any]]:
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return [one for policy in attached for one in statements(iam, policy["PolicyArn"])]


def statements(iam: Any, arn: str) -> list[dict[str, Any]]:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    read: list[dict[str, Any]] = (document if isinstance(document, dict) else json.loads(document))["Statement"]
    return read


def actions(statement: dict[str, Any]) -> list[str]:
    named = statement["Action"]
    return [named] if isinstance(named, str) else list(named)


@pytest.fixture
def fronts(aws_environment: AwsEmulator) -> Iterator[tuple[AwsFront, AwsFront]]:
    """Where AWS is for who calls `ray up`, and for the machines."""
    with AwsFront(aws_environment) as operator, AwsFront(aws_environment) as machines:
        yield operator, machines


@pytest.fixture
def config(aws_environment: AwsEmulator, stack: Stack, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """cluster.yaml with everything in the place of REPLACE, for this stack."""
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "cluster.yaml").read_text())
    assert read["provider"]["region"] == REGION
    key = tmp_path / "key.pem"
    key.touch()
    read["cluster_name"] = stack.prefix
    read["auth"]["ssh_private_key"] = str(key)
    read["setup_commands"] = [
        one.replace("--prefix landlord", f"--prefix {stack.prefix}") for one in read["setup_commands"]
    ]
    ec2 = aws_environment.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    for kind in read["available_node_types"].values():
        its = kind["node_config"]
        role = its["IamInstanceProfile"]["Name"].removeprefix("landlord-")
        its["IamInstanceProfile"] = {"Name": stack.outputs[f"{role.capitalize()}Profile"]}
        its["SecurityGroupIds"] = [stack.outputs["SecurityGroup"]]
        its["SubnetIds"] = stack.subnets[:1]
        its["ImageId"] = image
    yield read
    if left := list(running(ec2, stack)):
        ec2.terminate_instances(InstanceIds=left)
    ec2.close()
    # Ray's, for the sockets of ssh.
    for directory in Path("/tmp").glob(f"ray_ssh_*/{sha256(stack.prefix.encode()).hexdigest()[:10]}"):
        directory.rmdir()


def running(ec2: Any, stack: Stack) -> dict[str, dict[str, Any]]:
    """This cluster's machines, by id."""
    chosen = [
        {"Name": "tag:ray-cluster-name", "Values": [stack.prefix]},
        {"Name": "instance-state-name", "Values": ["pending", "running"]},
    ]
    found = ec2.describe_instances(Filters=chosen)["Reservations"]
    return {one["InstanceId"]: one for reservation in found for one in reservation["Instances"]}


def test_ray_up_makes_a_cluster_and_ray_down_ends_it(
    aws_environment: AwsEmulator,
    fronts: tuple[AwsFront, AwsFront],
    stack: Stack,
    config: dict[str, Any],
    tmp_path: Path,
) -> None:
    """By Ray's own validation, launcher, provider and updater, and every command of cluster.yaml."""
    operator, rest = fronts
    ec2, secrets = aws_environment.client("ec2"), aws_environment.client("secretsmanager")
    # As the template's attachment completes it. The emulator makes neither.
    secrets.create_secret(Name=f"{stack.prefix}/database", SecretString=json.dumps(DATABASE))
    machines = Machines(tmp_path / "machines", rest.url)
    machines.prepare()
    environment = {**aws_environment.environment, "AWS_ENDPOINT_URL": operator.url}

    machines.ray("up", config, environment)
    found = running(ec2, stack)
    (head,) = [one for one in found.values() if role_of(one) == f"{stack.prefix}-head"]
    workers = {id: one for id, one in found.items() if role_of(one) == f"{stack.prefix}-worker"}
    assert (len(found), len(workers)) == (3, 2)
    assert {one["SubnetId"] for one in found.values()} == {stack.subnets[0]}
    assert {group["GroupId"] for one in found.values() for group in one["SecurityGroups"]} == {
        stack.outputs["SecurityGroup"]
    }
    for one in found.values():
        address = one["PrivateIpAddress"]
        assert load_settings({"LANDLORD_HOME": str(machines.home(address))}).node_address == address
    for one in workers.values():
        assert_joined(machines, one["PrivateIpAddress"], head["PrivateIpAddress"])

    # Its last command once more, when one of them is gone: the others stay.
    (gone, stays) = workers
    ec2.terminate_instances(InstanceIds=[gone])
    machines.ssh(head["PrivateIpAddress"], config["head_start_ray_commands"][-1], environment)
    again = running(ec2, stack)
    assert {head["InstanceId"], stays} < again.keys()
    (new,) = again.keys() - found.keys()
    assert len(again) == 3
    assert_joined(machines, again[new]["PrivateIpAddress"], head["PrivateIpAddress"])

    machines.ray("down", config, environment)
    assert running(ec2, stack) == {}
    ec2.close()
    secrets.close()

    # Each role may what its machines have asked for, and nothing else; the README says what the caller needs.
    iam = aws_environment.client("iam")
    allowed = {name.partition(":")[2] for one in rights_of(iam, f"{stack.prefix}-head") for name in actions(one)}
    iam.close()
    assert set(rest.calls) == allowed - {"PassRole"}
    rights = (DEPLOY / "README.md").read_text().partition("Whoever runs `ray up` ")[2].partition("\n\n")[0]
    assert set(re.findall(r"`ec2:(\w+)`", rights)) == set(operator.calls)


def role_of(machine: dict[str, Any]) -> str:
    profile: str = machine["IamInstanceProfile"]["Arn"]
    return profile.rpartition("/")[2]


def assert_joined(machines: Machines, worker: str, head: str) -> None:
    """By an invitation of its own, of which the machine keeps what is meant for it."""
    home, of_the_head = machines.home(worker), machines.home(head)
    assert (home / "joined").read_text() == head
    NodeCertificates(home / "nodes").require(worker)
    for shared in ("ray-token", "nodes/ca.pem"):
        assert (home / shared).read_text() == (of_the_head / shared).read_text()
    assert not (home / "nodes" / "ca.key").exists()
    assert not (home.parent / "landlord-invitation").exists()


def test_a_machine_has_the_settings_of_the_secret(aws_environment: AwsEmulator, tmp_path: Path) -> None:
    """As AWS completes the secret with an attachment, which the emulator does not know."""
    prefix, secrets = f"t{uuid4().hex[:8]}", aws_environment.client("secretsmanager")
    home = tmp_path / "home"
    assert "Secrets Manager" in shared(home, prefix, aws_environment).stderr
    secrets.create_secret(Name=f"{prefix}/database", SecretString=json.dumps(DATABASE))
    secrets.close()

    done = shared(home, prefix, aws_environment, "compute_providers=ecs")
    assert done.returncode == 0, done.stderr
    settings = load_settings({"LANDLORD_HOME": str(home)})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == (
        "postgresql://landlord:p%2Fw@db.test:5432/rows?sslmode=verify-full&sslrootcert=%2Frds.pem"
    )
    assert settings.compute_providers == ("ecs",)
    assert (home / "config.yaml").stat().st_mode & 0o777 == 0o600

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
