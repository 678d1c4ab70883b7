"""`python -m providers` prints the compute providers that these settings enable, comma-separated. `landlord up` asks
once, so that a platform that is away for a moment is not disabled in actors that start during it. Each provider is
built: if one refuses its settings, the start stops, and not the first tenant."""

import sys

from controlplane.errors import SettingsError
from controlplane.settings import load_settings
from providers.registry import enabled_compute

try:
    enabled = enabled_compute(load_settings())
    print(",".join(name for name in enabled if enabled[name] is not None))
except SettingsError as error:
    sys.exit(error.message)
