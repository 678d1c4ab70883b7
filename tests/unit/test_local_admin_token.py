"""Which admin token a home has: what is given beats what is kept, and a client's bearer is neither."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from controlplane.errors import SettingsError
from controlplane.local.admin_token import choose, keep
from controlplane.local.paths import Home
from controlplane.settings import SHORTEST_TOKEN, Settings

GIVEN = "a-token-that-an-operator-gave-us-once"


def quiet(_: str) -> None:
    pass


def test_given_beats_kept_beats_new(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = choose(Settings(home=tmp_path), home, quiet)
    assert len(first) >= SHORTEST_TOKEN
    assert not home.token.exists()
    keep(home, first)
    assert choose(Settings(home=tmp_path), home, quiet) == first
    assert choose(Settings(home=tmp_path, admin_token=SecretStr(GIVEN)), home, quiet) == GIVEN


def test_a_clients_bearer_is_not_the_admins_and_that_is_said_once(tmp_path: Path) -> None:
    home, said = Home(tmp_path), list[str]()
    settings = Settings(home=tmp_path, token=SecretStr(GIVEN))
    token = choose(settings, home, said.append)
    assert token != GIVEN
    assert "LANDLORD_TOKEN is only a client's bearer" in said[0]
    keep(home, token)
    assert choose(settings, home, said.append) == token
    assert len(said) == 1


def test_a_short_one_in_the_home_is_refused_with_its_place(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.token.write_text("short\n")
    with pytest.raises(SettingsError, match=r"token: a token needs 32 .* LANDLORD_ADMIN_TOKEN"):
        choose(Settings(home=tmp_path), home, quiet)
