"""References to secrets reach what they are meant to reach, and nothing else."""

import json
import logging
from pathlib import Path

import pytest

from controlplane.errors import InvalidConfig, NotAvailableYet
from controlplane.local.logs import Json
from providers.kit.secrets import Secrets, placeheld, revealed

ENVIRON = {"LANDLORD_SECRET_DB": "from-env", "LANDLORD_DATABASE_URL": "ours", "PATH": "/bin"}


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    (tmp_path / "token").write_text("admin token")
    directory = tmp_path / "secrets"
    (directory / "acme").mkdir(parents=True)
    (directory / "acme" / "key").write_text("from-file\n")
    (directory / "out").symlink_to(tmp_path / "token")
    (directory / "binary").write_bytes(b"\xff\xfe")
    (directory / "long").write_bytes(b"x" * 70_000)
    return Secrets(directory, ENVIRON)


def test_values_take_the_place_of_references_wherever_they_stand(secrets: Secrets) -> None:
    config = {
        "env": {"A": {"secret": "env:LANDLORD_SECRET_DB"}, "B": {"secret": "file:acme/key"}, "C": "plain"},
        "containers": [{"environment": [{"name": "A", "value": {"secret": "file:acme/key"}}]}],
    }
    assert secrets.resolve(config) == {
        "env": {"A": "from-env", "B": "from-file", "C": "plain"},
        "containers": [{"environment": [{"name": "A", "value": "from-file"}]}],
    }


@pytest.mark.parametrize(
    "reference",
    [
        "env:LANDLORD_DATABASE_URL",
        "env:PATH",
        "file:../token",
        "file:acme/../../token",
        "file:out",
        "file:/etc/passwd",
        "file:binary",
        "file:long",
        "vault:x",
    ],
)
def test_what_leads_elsewhere_is_refused_for_good(secrets: Secrets, reference: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        secrets.value(reference)
    assert "admin token" not in refused.value.message
    assert "ours" not in refused.value.message


@pytest.mark.parametrize(
    "reference", ["env:LANDLORD_SECRET_LATER", "file:acme/later", "file:acme/key/below", "file:acme"]
)
def test_what_is_not_there_may_still_come(secrets: Secrets, reference: str) -> None:
    with pytest.raises(NotAvailableYet, match="secret"):
        secrets.value(reference)


def test_an_absolute_path_inside_is_a_path_inside(secrets: Secrets, tmp_path: Path) -> None:
    assert secrets.value(f"file:{tmp_path}/secrets/acme/key") == "from-file"


def test_what_is_known_is_told_to_who_must_not_show_it(secrets: Secrets) -> None:
    assert secrets.known([{"secret": "file:acme/key"}, "plain", {"secret": "file:acme/later"}]) == [
        "from-file",
        "plain",
    ]


def test_what_was_put_in_is_told_to_who_must_not_show_it_wherever_it_stands(secrets: Secrets) -> None:
    config = {"env": {"A": "plain", "B": {"secret": "file:acme/key"}}, "command": ["run", {"secret": "file:acme/key"}]}
    assert list(revealed(config, secrets.resolve(config))) == ["from-file", "from-file"]


def test_shapes_are_checked_with_a_word_in_the_place_of_a_reference() -> None:
    assert placeheld([{"name": "A", "value": {"secret": "env:LANDLORD_SECRET_DB"}}]) == [
        {"name": "A", "value": "secret"}
    ]
    with pytest.raises(ValueError, match="secret"):
        placeheld({"value": {"secret": "env:HOME"}})


def test_each_reading_is_a_line_of_the_log_without_the_value(
    secrets: Secrets, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        secrets.resolve({"A": {"secret": "file:acme/key"}})
    [record] = caplog.records
    line = json.loads(Json("tenant:acme").format(record))
    assert (line["process"], line["message"], line["reference"]) == ("tenant:acme", "a secret is read", "file:acme/key")
    assert "from-file" not in str(line)
