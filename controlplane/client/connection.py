"""A client for the control plane that the settings name."""

import ssl

from controlplane.errors import SettingsError
from controlplane.local.paths import Home
from controlplane.local.pinned import pinned
from controlplane.settings import Settings
from landlord_client import Client, InsecureAddress, Unreachable


def client_of(settings: Settings) -> Client:
    """For the URL of the settings. The token is LANDLORD_TOKEN, or else the one that `landlord up` left in the home.

    Raises Unreachable if there is neither, and SettingsError if the token would cross a network in clear.
    """
    verify = trusted(settings)
    if settings.token is not None:
        return _client(settings, settings.token.get_secret_value(), verify)
    path = Home(settings.home).token
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise Unreachable(
            f"no token: {path} cannot be read ({error.strerror}) and LANDLORD_TOKEN is not set; "
            "start the control plane with `landlord up`"
        ) from None
    return _client(settings, token, verify)


def trusted(settings: Settings) -> ssl.SSLContext | bool:
    """The way to verify the server of these settings. The home's own server is verified by the very certificate that
    `landlord up` gave it. Raises SettingsError if a file of certificates cannot be read."""
    if settings.url is None:
        return pinned(Home(settings.home).tls) if settings.tls else True
    if settings.ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca)
    except OSError as error:
        raise SettingsError(f"LANDLORD_CA: {settings.ca} cannot be read: {error.strerror or error}") from None


def _client(settings: Settings, token: str, verify: ssl.SSLContext | bool) -> Client:
    try:
        return Client(settings.base_url, token, verify=verify)
    except InsecureAddress as error:
        raise SettingsError(f"LANDLORD_URL: {error}") from None
