"""References to secrets reach what they are meant to reach, and nothing else."""

import json
import logging
from pathlib import Path

import pytest

from controlplane.errors import InvalidConfig, NotAvailableYet
from controlplane.local.logs import Json
from providers.kit.secrets import Secrets, TenantSecrets, placeheld, revealed

ENVIRON = {
    "LANDLORD_SECRET_DB": "from-env",
    "LANDLORD_SECRET_ACME__DB": "acme's",
    "LANDLORD_SECRET_GLOBEX__DB": "globex's",
    "LANDLORD_SECRET_A__B__DB": "a's",
    "LANDLORD_DATABASE_URL": "ours",
    "PATH": "/bin",
}


@pytest.fixture
def house(tmp_path: Path) -> Secrets:
    (tmp_path / "token").write_text("admin token")
    directory = tmp_path / "secrets"
    for tenant in ("acme", "globex", "shared"):
        (directory / tenant).mkdir(parents=True)
        (directory / tenant / "key").write_text(f"from-{tenant}\n")
    (directory / "shared" / "common").write_text("for-all\n")
    (directory / "old").write_text("of nobody")
    (directory / "acme" / "out").symlink_to(tmp_path / "token")
    (directory / "acme" / "theirs").symlink_to(directory / "globex" / "key")
    (directory / "acme" / "binary").write_bytes(b"\xff\xfe")
    (directory / "acme" / "long").write_bytes(b"x" * 70_000)
    return Secrets(directory, ENVIRON)


@pytest.fixture
def secrets(house: Secrets) -> TenantSecrets:
    return house.of("acme")


def test_values_take_the_place_of_references_wherever_they_stand(secrets: TenantSecrets) -> None:
    config = {
        "env": {"A": {"secret": "env:LANDLORD_SECRET_DB"}, "B": {"secret": "file:key"}, "C": "plain"},
        "containers": [{"environment": [{"name": "A", "value": {"secret": "file:key"}}]}],
    }
    assert secrets.resolve(config) == {
        "env": {"A": "from-env", "B": "from-acme", "C": "plain"},
        "containers": [{"environment": [{"name": "A", "value": "from-acme"}]}],
    }


@pytest.mark.parametrize(
    "reference",
    [
        "env:LANDLORD_DATABASE_URL",
        "env:PATH",
        "file:../token",
        "file:acme/../../token",
        "file:../globex/key",
        "file:theirs",
        "env:LANDLORD_SECRET_GLOBEX__DB",
        "env:LANDLORD_SECRET_A__B__DB",
        "file:out",
        "file:/etc/passwd",
        "file:binary",
        "file:long",
        "vault:x",
    ],
)
def test_what_leads_elsewhere_is_refused_for_good(secrets: TenantSecrets, reference: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        secrets.value(reference)
    assert "admin token" not in refused.value.message
    assert "ours" not in refused.value.message


@pytest.mark.parametrize("reference", ["env:LANDLORD_SECRET_LATER", "file:later", "file:key/below", "file:old"])
def test_what_is_not_there_may_still_come(secrets: TenantSecrets, reference: str) -> None:
    with pytest.raises(NotAvailableYet, match="secret"):
        secrets.value(reference)


def test_an_absolute_path_inside_is_a_path_inside(secrets: TenantSecrets, tmp_path: Path) -> None:
    assert secrets.value(f"file:{tmp_path}/secrets/acme/key") == "from-acme"
    with pytest.raises(InvalidConfig):
        secrets.value(f"file:{tmp_path}/secrets/globex/key")


def test_each_tenant_has_its_own_and_those_for_all(house: Secrets) -> None:
    acme, globex = house.of("acme"), house.of("globex")
    assert [tenant.value("file:key") for tenant in (acme, globex)] == ["from-acme", "from-globex"]
    assert [tenant.value("file:common") for tenant in (acme, globex)] == ["for-all", "for-all"]
    assert [tenant.value("env:LANDLORD_SECRET_DB") for tenant in (acme, globex)] == ["from-env", "from-env"]
    assert acme.value("env:LANDLORD_SECRET_ACME__DB") == "acme's"
    with pytest.raises(InvalidConfig, match="not this tenant's"):
        globex.value("env:LANDLORD_SECRET_ACME__DB")
    with pytest.raises(NotAvailableYet, match="secrets/globex/"):
        globex.value("file:acme/key")
    with pytest.raises(InvalidConfig, match="not this tenant's"):
        house.of("a-b").value("env:LANDLORD_SECRET_ACME__DB")


def test_a_name_that_ends_earlier_is_another_tenants(house: Secrets) -> None:
    assert house.of("a").value("env:LANDLORD_SECRET_A__B__DB") == "a's"
    with pytest.raises(InvalidConfig):
        house.of("a--b").value("env:LANDLORD_SECRET_A__B__DB")


def test_the_old_way_to_write_a_tenants_file_still_finds_it(secrets: TenantSecrets) -> None:
    assert secrets.value("file:acme/key") == "from-acme"
    assert secrets.value("file:shared/common") == "for-all"


def test_whose_labels_are_lost_reaches_what_is_for_all_only(house: Secrets) -> None:
    with pytest.raises(NotAvailableYet):
        house.of("").value("file:acme/key")


def test_what_is_known_is_told_to_who_must_not_show_it(secrets: TenantSecrets) -> None:
    assert secrets.known([{"secret": "file:key"}, "plain", {"secret": "file:later"}]) == [
        "from-acme",
        "plain",
    ]


def test_what_was_put_in_is_told_to_who_must_not_show_it_wherever_it_stands(secrets: TenantSecrets) -> None:
    config = {"env": {"A": "plain", "B": {"secret": "file:key"}}, "command": ["run", {"secret": "file:key"}]}
    assert list(revealed(config, secrets.resolve(config))) == ["from-acme", "from-acme"]


def test_shapes_are_checked_with_a_word_in_the_place_of_a_reference() -> None:
    assert placeheld([{"name": "A", "value": {"secret": "env:LANDLORD_SECRET_DB"}}]) == [
        {"name": "A", "value": "secret"}
    ]
    with pytest.raises(ValueError, match="secret"):
        placeheld({"value": {"secret": "env:HOME"}})


def test_each_reading_is_a_line_of_the_log_without_the_value(
    secrets: TenantSecrets, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        secrets.resolve({"A": {"secret": "file:key"}})
    [record] = caplog.records
    line = json.loads(Json("tenant:acme").format(record))
    assert (line["process"], line["message"], line["reference"]) == ("tenant:acme", "a secret is read", "file:key")
    assert "from-acme" not in str(line)
