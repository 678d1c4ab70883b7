"""The root of the `landlord` command: the commands and groups, and nothing else."""

import os
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli import (
    apply,
    config,
    demo,
    doctor,
    drain,
    events,
    execution,
    install,
    logs,
    pause,
    plan,
    providers,
    restore,
    server,
    tenant,
    token,
)
from controlplane.cli.exit_codes import HELP, Commands

app = typer.Typer(
    cls=Commands,
    help="Landlord gives every tenant its own compute and keeps it running.",
    epilog=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    ca: Annotated[
        Path | None, typer.Option(help="Certificates (PEM) that an https LANDLORD_URL is trusted by; LANDLORD_CA.")
    ] = None,
) -> None:
    """Options of the whole command."""
    if ca is not None:
        os.environ["LANDLORD_CA"] = str(ca)


app.command(rich_help_panel="This machine")(server.up)
app.command(rich_help_panel="This machine")(server.down)
app.command(rich_help_panel="This machine")(server.status)
app.command(rich_help_panel="This machine")(install.install)
app.command(rich_help_panel="This machine")(drain.drain)
app.command(rich_help_panel="This machine")(restore.restore)
app.add_typer(config.app, name="config", rich_help_panel="This machine")

app.add_typer(tenant.app, name="tenant", rich_help_panel="Tenants")
app.add_typer(execution.app, name="execution", rich_help_panel="Tenants")
app.command(rich_help_panel="Tenants")(demo.demo)

app.command(rich_help_panel="Operations")(events.events)
app.command(rich_help_panel="Operations")(providers.providers)
app.command(rich_help_panel="Operations")(pause.pause)
app.command(rich_help_panel="Operations")(pause.resume)
app.command(rich_help_panel="Operations")(doctor.doctor)
app.add_typer(token.app, name="token", rich_help_panel="Operations")

tenant.app.command()(apply.apply)
tenant.app.command()(plan.plan)
tenant.app.command()(events.watch)
tenant.app.command()(logs.logs)
execution.app.command("retry")(tenant.retry)
