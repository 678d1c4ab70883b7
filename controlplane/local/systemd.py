"""The systemd unit of one home."""

import sys
from pathlib import Path

UNIT = "landlord.service"
DIRECTORY = Path("/etc/systemd/system")

_TEMPLATE = """\
[Unit]
Description=Landlord control plane ({home})
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target docker.service postgresql.service

[Service]
Type=notify
NotifyAccess=main
Environment=LANDLORD_HOME={home}
EnvironmentFile=-/etc/default/landlord
ExecStart={landlord} {command} --foreground
# Longer than the slowest first start.
TimeoutStartSec=900
TimeoutStopSec=120
Restart=always
RestartSec=5
# Tenants' processes outlive the control plane: only the command itself is signalled, and it ends what is its own.
KillMode=process
# Its tenants have cgroups of their own below the unit's.
Delegate=yes
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""


def unit(home: Path, head: str | None = None) -> str:
    """The unit's text, for the `landlord` that runs now. `head`: this machine is a node of the cluster there; None: it
    has a control plane of its own."""
    landlord = Path(sys.executable).with_name("landlord")
    command = "up" if head is None else f"node join {_escaped(head)}"
    return _TEMPLATE.format(home=_escaped(str(home)), landlord=_escaped(str(landlord)), command=command)


def _escaped(text: str) -> str:
    """A path in a unit file: `%` begins a specifier, and spaces part words (systemd.unit(5), systemd.syntax(7))."""
    return text.replace("\\", "\\\\").replace("%", "%%").replace(" ", "\\x20")
