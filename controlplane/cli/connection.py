"""The client of a command: it calls LANDLORD_URL, or else the context's control plane, or else the home's own."""

from controlplane.client import Client
from controlplane.client.contexts import command_settings


def connect() -> Client:
    """Raises SettingsError, and Unreachable if there is no token."""
    return Client.of(command_settings())
