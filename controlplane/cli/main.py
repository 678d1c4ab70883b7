"""The root of the `landlord` command: the commands and groups, and nothing else."""

import typer

from controlplane.cli import config, demo, execution, server, tenant
from controlplane.cli.exits import HELP, Commands

app = typer.Typer(
    cls=Commands,
    help="Landlord gives every tenant compute of its own, and keeps it so.",
    epilog=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(server.up)
app.command()(server.down)
app.command()(server.status)
app.command()(demo.demo)
app.add_typer(tenant.app, name="tenant")
app.add_typer(execution.app, name="execution")
app.add_typer(config.app, name="config")
