"""Compose files (https://github.com/compose-spec/compose-spec): one service of one becomes a tenant's spec.

`document` finds the service, `variables` fills in its variables, `translation` translates it. All I/O is the caller's
(`compose_file`).
"""

from controlplane.cli.compose.document import find_service
from controlplane.cli.compose.errors import ComposeError
from controlplane.cli.compose.source import Source
from controlplane.cli.compose.translation import Leftover, Translation, translate

__all__ = ["ComposeError", "Leftover", "Source", "Translation", "find_service", "translate"]
