"""The root of the `landlord` command: where its commands and groups are, and nothing else."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from controlplane.cli.completion import contexts
from controlplane.cli.console import errors
from controlplane.cli.elsewhere import Place
from controlplane.cli.exit_codes import HELP, Commands

HERE = frozenset({"up", "down", "status", "install", "drain", "backup", "restore", "support-bundle", "config", "demo"})
"""Commands about this machine: no context changes what they act on."""

MACHINE, TENANTS, OPERATIONS = "This machine", "Tenants", "Operations"


class Landlord(Commands):
    elsewhere: ClassVar[Mapping[str, Place]] = {
        "up": Place("server", "up", MACHINE),
        "down": Place("server", "down", MACHINE),
        "status": Place("server", "status", MACHINE),
        "install": Place("install", "install", MACHINE),
        "drain": Place("drain", "drain", MACHINE),
        "backup": Place("backup", "backup", MACHINE),
        "restore": Place("restore", "restore", MACHINE),
        "support-bundle": Place("support_bundle", "support_bundle", MACHINE),
        "config": Place("config", "app", MACHINE),
        "tenant": Place("tenant", "app", TENANTS),
        "execution": Place("execution", "app", TENANTS),
        "demo": Place("demo", "demo", TENANTS),
        "top": Place("top", "top", OPERATIONS),
        "events": Place("events", "events", OPERATIONS),
        "providers": Place("providers", "providers", OPERATIONS),
        "node": Place("node", "app", OPERATIONS),
        "pause": Place("pause", "pause", OPERATIONS),
        "resume": Place("pause", "resume", OPERATIONS),
        "doctor": Place("doctor", "doctor", OPERATIONS),
        "token": Place("token", "app", OPERATIONS),
        "context": Place("context", "app", OPERATIONS),
    }


app = typer.Typer(
    cls=Landlord,
    help="Landlord gives every tenant its own compute and keeps it running.",
    epilog=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    ctx: typer.Context,
    ca: Annotated[
        Path | None, typer.Option(help="Certificates (PEM) that an https LANDLORD_URL is trusted by; LANDLORD_CA.")
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            help="The control plane to call, of `landlord context list`; LANDLORD_CONTEXT.", autocompletion=contexts
        ),
    ] = None,
) -> None:
    """Options of the whole command."""
    if context is not None:
        _choose(context, ctx.invoked_subcommand)
    if ca is not None:
        os.environ["LANDLORD_CA"] = str(ca)


def _choose(context: str, command: str | None) -> None:
    if command in HERE:
        raise typer.BadParameter(f"`landlord {command}` is about this machine", param_hint="--context")
    if os.environ.get("LANDLORD_URL"):
        errors.print(f"LANDLORD_URL is set, so the context {context} is not used", markup=False)
    os.environ["LANDLORD_CONTEXT"] = context
