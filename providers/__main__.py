"""`python -m providers` prints the compute providers that these settings enable, comma-separated. `landlord up` asks
once, so that a platform that is away for a moment is not disabled in actors that start during it."""

import sys

from controlplane.errors import SettingsError
from controlplane.settings import load_settings
from providers.registry import enabled_names

try:
    print(",".join(enabled_names(load_settings())))
except SettingsError as error:
    sys.exit(error.message)
