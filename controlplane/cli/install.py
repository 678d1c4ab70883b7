"""`landlord install`: have the machine start the control plane."""

import subprocess
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.console import errors, output
from controlplane.errors import SettingsError
from controlplane.local.paths import Home
from controlplane.local.state import RunState
from controlplane.local.systemd import DIRECTORY, UNIT, unit
from controlplane.settings import load_settings

_RUNS = Path("/run/systemd/system")


def install(
    systemd: Annotated[bool, typer.Option("--systemd", help="A systemd unit: started now and at boot.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Only print the unit.")] = False,
    node: Annotated[
        str | None,
        typer.Option(metavar="HEAD[:PORT]", help="This machine has joined the cluster of that head (`landlord node`)."),
    ] = None,
) -> None:
    """Have systemd start the control plane at boot, and start it again when it dies. Its logs go to the journal too.
    With --node, it joins this machine to its cluster, and joins it again.

    Settings come from config.yaml in LANDLORD_HOME and from /etc/default/landlord, not from this shell.

    Example: landlord install --systemd
    """
    if not systemd:
        raise typer.BadParameter("say --systemd; there is no other kind yet", param_hint="install")
    home = Home(load_settings().home)
    state = RunState.read(home.state)
    if node is None and state is not None and state.head is not None:
        raise SettingsError(f"this machine joined the cluster at {state.head}: say --node with that head's address")
    text = unit(home.root, node)
    if show:
        output.print(text, markup=False, highlight=False, soft_wrap=True, end="")
        return
    path = DIRECTORY / UNIT
    try:
        path.write_text(text)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}; run this as root, or use --print") from None
    output.print(f"wrote {path}")
    if not _RUNS.is_dir():
        errors.print(f"systemd does not run here; at its next start: systemctl enable --now {UNIT}")
        return
    for command in (["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", UNIT]):
        if subprocess.run(command, check=False).returncode != 0:
            raise SettingsError(f"`{' '.join(command)}` failed; see journalctl -u {UNIT}")
    output.print(f"[green]Landlord is up[/green], and starts at boot; its log: journalctl -u {UNIT}")
