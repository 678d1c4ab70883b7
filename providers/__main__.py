"""`python -m providers`: the compute providers that these settings enable, comma-separated. `landlord up` asks once, so
that an engine that is away for a moment is not disabled in the actors that start meanwhile."""

import sys

from controlplane.errors import SettingsError
from controlplane.settings import load_settings
from providers.registry import enabled_names

try:
    print(",".join(enabled_names(load_settings())))
except SettingsError as error:
    sys.exit(error.message)
