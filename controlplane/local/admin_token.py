"""The admin token of a home: given by LANDLORD_ADMIN_TOKEN, or kept in the home since the first start.

LANDLORD_TOKEN is no part of it: that is a client's bearer of any role, and must never become the admin's.
"""

import secrets
from collections.abc import Callable

from controlplane.errors import SettingsError
from controlplane.local.paths import Home, write_private
from controlplane.settings import Settings, token_problem


def choose(settings: Settings, home: Home, say: Callable[[str], None]) -> str:
    """The given token, else the home's, else a new one. Writes nothing. Raises SettingsError if the home's is too
    short."""
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value()
    kept = _kept(home)
    if not kept and settings.token is not None:
        say(f"LANDLORD_TOKEN is only a client's bearer; the admin token is a new one, in {home.token}")
    if kept and (wrong := token_problem(kept)):
        raise SettingsError(f"{home.token}: {wrong}; remove the file for a new one, or set LANDLORD_ADMIN_TOKEN")
    return kept or secrets.token_urlsafe(32)


def keep(home: Home, token: str) -> None:
    """Store the token for the home's own commands. Call it once the database has taken the token."""
    if token != _kept(home):
        write_private(home.token, f"{token}\n")
    header = f"Authorization: Bearer {token}\n"
    if not home.token_header.exists() or home.token_header.read_text() != header:
        write_private(home.token_header, header)


def _kept(home: Home) -> str:
    return home.token.read_text().strip() if home.token.exists() else ""
