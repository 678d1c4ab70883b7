"""The record of the last `up`, kept so that the next `up`, `down` and `status` know where to look."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.local.paths import write_private
from controlplane.local.ports import Ports


@dataclass(frozen=True)
class RunState:
    """`fingerprint` is over the effective settings (secrets included), `build` over the code.

    `compute_providers`: the enabled ones, comma-separated, resolved once, so that a platform that is away for a moment
    is not disabled.
    """

    build: str
    fingerprint: str
    cluster_id: str
    ports: Ports
    compute_providers: str
    head: str | None = None
    """Of a machine that joined a cluster: the address and port of its head's GCS. None: this machine is the head."""

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "RunState | None":
        """None: nothing was started, or the file is not ours to read (another user's, another release's). Further
        members written by another release are ignored."""
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            fields = dataclasses.fields(cls)
            asked = {one.name: content[one.name] for one in fields if one.name in content or one.name != "head"}
            return cls(**{**asked, "ports": Ports(**content["ports"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
