"""The compute providers that this machine runs, asked of a process of its own: their SDKs are not imported here."""

import subprocess
import sys
from collections.abc import Mapping

from controlplane.errors import SettingsError
from controlplane.local.programs import PROVIDERS


def resolve(settings_env: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Those of the setting, else those available now, comma-separated. Raises SettingsError for an unknown one, and for
    one that may not run under these settings."""
    asked = subprocess.run(
        [sys.executable, "-m", PROVIDERS],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**environ, **settings_env},
        check=False,
    )
    if asked.returncode != 0:
        raise SettingsError(asked.stderr.strip().splitlines()[-1])
    return asked.stdout.strip()
