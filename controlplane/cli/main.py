"""The root of the `landlord` command: the commands and groups, and nothing else."""

import os
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli import (
    apply,
    backup,
    config,
    context,
    demo,
    doctor,
    drain,
    events,
    execution,
    install,
    logs,
    node,
    pause,
    plan,
    providers,
    restore,
    run_command,
    server,
    support_bundle,
    tenant,
    token,
    top,
)
from controlplane.cli.completion import contexts
from controlplane.cli.console import errors
from controlplane.cli.exit_codes import HELP, Commands

HERE = frozenset({"up", "down", "status", "install", "drain", "backup", "restore", "support-bundle", "config", "demo"})
"""Commands about this machine: no context changes what they act on."""

app = typer.Typer(
    cls=Commands,
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


app.command(rich_help_panel="This machine")(server.up)
app.command(rich_help_panel="This machine")(server.down)
app.command(rich_help_panel="This machine")(server.status)
app.command(rich_help_panel="This machine")(install.install)
app.command(rich_help_panel="This machine")(drain.drain)
app.command(rich_help_panel="This machine")(backup.backup)
app.command(rich_help_panel="This machine")(restore.restore)
app.command("support-bundle", rich_help_panel="This machine")(support_bundle.support_bundle)
app.add_typer(config.app, name="config", rich_help_panel="This machine")

app.add_typer(tenant.app, name="tenant", rich_help_panel="Tenants")
app.add_typer(execution.app, name="execution", rich_help_panel="Tenants")
app.command(rich_help_panel="Tenants")(demo.demo)

app.command(rich_help_panel="Operations")(top.top)
app.command(rich_help_panel="Operations")(events.events)
app.command(rich_help_panel="Operations")(providers.providers)
app.add_typer(node.app, name="node", rich_help_panel="Operations")
app.command(rich_help_panel="Operations")(pause.pause)
app.command(rich_help_panel="Operations")(pause.resume)
app.command(rich_help_panel="Operations")(doctor.doctor)
app.add_typer(token.app, name="token", rich_help_panel="Operations")
app.add_typer(context.app, name="context", rich_help_panel="Operations")

tenant.app.command()(apply.apply)
tenant.app.command()(plan.plan)
tenant.app.command()(events.watch)
tenant.app.command()(logs.logs)
tenant.app.command("exec")(run_command.run_command)
execution.app.command("retry")(tenant.retry)
