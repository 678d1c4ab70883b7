"""Stars: where they stand in a shown spec, and what they stand for when they come back."""

from typing import Any

import pytest

from controlplane.api.masking import restore
from controlplane.model.masking import MASK, hidden_values, marked, mask, mask_at

SECRET = "hunter2-of-the-tests"
URL = f"postgres://app:{SECRET}@db/x"
SHOWN_URL = f"postgres://app:{MASK}@db/x"


def test_variables_are_masked_by_name_wherever_they_are() -> None:
    config = {
        "env": {"A": "1", "KEY": "k", "TOKEN": {"secret": "env:LANDLORD_SECRET_X"}, "EMPTY_KEY": "", "name": "n"},
        "containers": [{"environment": [{"name": "PASSWORD", "value": "p"}, {"name": "A", "value": "1"}]}],
        "key": "not a variable",
    }
    masked = mask(config)
    assert masked == {
        "env": {"A": "1", "KEY": MASK, "TOKEN": {"secret": "env:LANDLORD_SECRET_X"}, "EMPTY_KEY": "", "name": "n"},
        "containers": [{"environment": [{"name": "PASSWORD", "value": MASK}, {"name": "A", "value": "1"}]}],
        "key": "not a variable",
    }
    assert restore(masked, config) == (config, [])
    assert restore(masked, None)[1] == ["env.KEY", "containers.0.environment.0.value"]
    assert restore({"title": MASK}, None) == ({"title": MASK}, [])


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({"env": {"DATABASE_URL": URL}}, {"env": {"DATABASE_URL": SHOWN_URL}}),
        (
            {"env": {"name": "x", "value": "y", "PASSWORD": SECRET}},
            {"env": {"name": "x", "value": "y", "PASSWORD": MASK}},
        ),
        ({"env": {"X": SECRET}, "secret_env": ["X"]}, {"env": {"X": MASK}, "secret_env": ["X"]}),
        ({"command": ["app", "--password", SECRET]}, {"command": ["app", "--password", MASK]}),
        (
            {"command": ["app", "--password", SECRET, {"secret": "file:x"}]},
            {"command": ["app", "--password", MASK, {"secret": "file:x"}]},
        ),
        ({"command": f"app --password={SECRET}"}, {"command": f"app --password={MASK}"}),
        ({"logConfiguration": {"options": {"apikey": SECRET}}}, {"logConfiguration": {"options": {"apikey": MASK}}}),
        ({"tags": [{"key": "api-token", "value": SECRET}]}, {"tags": [{"key": "api-token", "value": MASK}]}),
        ({"environment": [{"value": SECRET}]}, {"environment": [{"value": MASK}]}),
        ({"password": SECRET}, {"password": MASK}),
        ({"passwords": [SECRET]}, {"passwords": [MASK]}),
        (
            {"x": {"secret_env": ["A"], "list": [{"environment": [{"name": "A", "value": SECRET}]}]}},
            {"x": {"secret_env": ["A"], "list": [{"environment": [{"name": "A", "value": MASK}]}]}},
        ),
        ({"annotations": {"example.com/db-password": SECRET}}, {"annotations": {"example.com/db-password": MASK}}),
        ({"labels": {"token": "gold", "u": URL}}, {"labels": {"token": "gold", "u": SHOWN_URL}}),
        (
            {"health": {"exec": {"command": ["p", f"--token={SECRET}"]}}},
            {"health": {"exec": {"command": ["p", f"--token={MASK}"]}}},
        ),
    ],
)
def test_it_is_hidden_and_comes_back(config: dict[str, Any], shown: dict[str, Any]) -> None:
    assert mask(config) == shown
    assert mask(shown) == shown
    assert restore(shown, config) == (config, [])
    assert SECRET in set(hidden_values(config))


@pytest.mark.parametrize(
    "document",
    [
        {"secrets": [{"name": "DB_PASSWORD", "valueFrom": "arn:aws:ssm:eu:1:parameter/x"}]},
        {"repositoryCredentials": {"credentialsParameter": "arn:aws:secretsmanager:eu:1:secret:x"}},
        {"health": {"http": {"path": "/health?deep=1"}}, "heal": "restart"},
        {"env": {"COLOR": "blue", "MONKEY": "see"}, "command": ["app", "--port", "80"]},
    ],
)
def test_what_is_no_secret_stays_readable(document: dict[str, Any]) -> None:
    assert mask(document) == document


def test_lines_of_plans() -> None:
    assert mask_at("spec.compute.config.env.DB_PASSWORD", "p") == MASK
    assert mask_at("env.COLOR", "blue") == "blue"
    assert mask_at("env.COLOR", "blue", frozenset({"COLOR"})) == MASK
    assert mask_at("env.a.COLOR", "blue", frozenset({"a.COLOR"})) == MASK
    assert mask_at("env", {"KEY": "k"}) == {"KEY": MASK}
    assert mask_at("image", "web:1") == "web:1"
    assert mask_at("containers", [{"env": {"KEY": "k"}}]) == [{"env": {"KEY": MASK}}]
    assert mask_at("env.KEY", None) is None
    assert mask_at("env.KEY.secret", "file:x") == "file:x"
    assert mask_at("spec.health.exec.command", ["a", "--token", "x"]) == ["a", "--token", MASK]
    assert mask_at("labels.token", "gold") == "gold"
    assert mask_at("annotations.token", "gold") == MASK
    assert marked({"secret_env": ["A"], "x": [{"secret_env": ["B", 1]}]}) == {"A", "B"}


@pytest.mark.parametrize(
    ("sent", "stored", "where"),
    [
        # By the place in a list, or under another name.
        (
            {"environment": [{"value": MASK}]},
            {"environment": [{"name": "PASSWORD", "value": SECRET}]},
            "environment.0.value",
        ),
        (
            {"environment": [{"name": "COLOR", "value": MASK}]},
            {"environment": [{"name": "PASSWORD", "value": SECRET}]},
            None,
        ),
        ({"env": {"COLOR": MASK}}, {"env": {"PASSWORD": SECRET}}, None),
        ({"env": {"MY_PASSWORD": MASK}}, {"env": {"PASSWORD": SECRET}}, "env.MY_PASSWORD"),
        ({"command": ["--password", MASK, "x"]}, {"command": ["--password", SECRET]}, "command.1"),
        ({"command": ["echo", MASK]}, {"command": ["--password", SECRET]}, None),
        ({"env": {"URL": f"http://app:{MASK}@elsewhere/"}}, {"env": {"URL": URL}}, "env.URL"),
        # Twice the same name: which one is meant?
        (
            {"environment": [{"name": "TOKEN", "value": MASK}]},
            {"environment": [{"name": "TOKEN", "value": SECRET}, {"name": "TOKEN", "value": "other"}]},
            "environment.0.value",
        ),
        # What secret_env hides is not shown by leaving secret_env out.
        ({"env": {"X": MASK}}, {"env": {"X": SECRET}, "secret_env": ["X"]}, "env.X"),
        ({"env": {"X": SECRET}}, {"env": {"X": SECRET}, "secret_env": ["X"]}, "env.X"),
        ({"env": {"X": URL}}, {"env": {"X": URL}, "secret_env": ["X"]}, "env.X"),
    ],
)
def test_stars_show_nothing(sent: dict[str, Any], stored: dict[str, Any], where: str | None) -> None:
    restored, refused = restore(sent, stored)
    if where is None:
        assert (SECRET in str(mask(restored)), SECRET in str(restored), refused) == (False, False, [])
    else:
        assert refused == [where]


def test_a_member_is_found_by_its_name_wherever_it_moved() -> None:
    stored = {"c": [{"name": "a", "environment": [{"name": "KEY", "value": "1"}]}, {"name": "b", "env": {"KEY": "2"}}]}
    sent = {"c": [{"name": "b", "env": {"KEY": MASK}}, {"name": "a", "environment": [{"name": "KEY", "value": MASK}]}]}
    assert restore(sent, stored) == ({"c": [stored["c"][1], stored["c"][0]]}, [])


def test_hidden_values_are_those_of_all_places() -> None:
    config = {"env": {"PASSWORD": "one", "U": "http://u:two@h"}, "command": ["--a-token=three", "-k", "--key", "four"]}
    assert set(hidden_values(config)) == {"one", "two", "three", "four"}
