"""The client that the settings make: where it goes, and with which token."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from controlplane.client.connection import client_of
from controlplane.errors import SettingsError
from controlplane.settings import Settings
from landlord_client import Unreachable


def test_the_token_of_the_home_is_the_default(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="landlord up"):
        client_of(Settings(home=tmp_path))
    (tmp_path / "token").write_text("from-file\n")
    with client_of(Settings(home=tmp_path, port=8123)) as found:
        assert found.url == "http://127.0.0.1:8123"
        assert found._http.headers["Authorization"] == "Bearer from-file"
    with client_of(Settings(home=tmp_path, url="https://x:1/", token=SecretStr("given"))) as found:
        assert found.url == "https://x:1"
        assert found._http.headers["Authorization"] == "Bearer given"


def test_an_address_in_clear_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"LANDLORD_URL: http://10\.0\.0\.5 .* would go there in clear"):
        client_of(Settings(home=tmp_path, url="http://10.0.0.5", token=SecretStr("given")))
