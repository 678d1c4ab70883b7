"""The client of a command: it calls LANDLORD_URL, or else the context's control plane, or else the home's own."""

from controlplane.client import connection
from controlplane.client.contexts import command_settings
from landlord_client import Client


def connect() -> Client:
    """Raises SettingsError, and Unreachable if there is no token."""
    return connection.client_of(command_settings())
