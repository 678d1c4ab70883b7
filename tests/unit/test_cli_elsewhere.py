"""A command imports what it needs itself, and nothing for the other commands."""

import subprocess
import sys

import pytest

HEAVY = ("sqlalchemy", "asyncpg", "alembic", "cryptography", "ray", "docker", "boto3")
RUN = f"""
import sys
from controlplane.cli.main import app
try:
    app(sys.argv[1:])
finally:
    print("imported:", *[name for name in {HEAVY} if name in sys.modules])
"""
CALLS_THE_API = (
    "tenant list",
    "tenant get",
    "tenant create",
    "tenant apply",
    "tenant exec",
    "tenant logs",
    "execution retry",
    "events",
    "providers",
    "pause",
    "doctor",
    "top",
    "node list",
    "node drain",
    "token list",
    "context list",
)


def ran(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", CALLS_THE_API)
def test_a_command_that_only_calls_the_api_imports_no_database_and_no_platform(command: str) -> None:
    done = ran(*command.split(), "--help")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "imported:"), done.stderr


def test_a_wrong_command_is_refused_with_a_likely_one_before_any_is_imported() -> None:
    done = ran("tenants")
    assert (done.returncode, done.stdout) == (2, "imported:\n")
    assert "No such command 'tenants'. Did you mean 'tenant'" in " ".join(done.stderr.split())


def test_a_command_of_this_machine_imports_its_own() -> None:
    """So the test above would see it."""
    assert "sqlalchemy" in ran("up", "--help").stdout
