"""`landlord doctor`: is everything as the rows say?"""

import typer

from controlplane.cli.console import output, progress
from controlplane.cli.exit_codes import Exit
from controlplane.cli.output import Format, FormatOption, show
from controlplane.client import Client, ConsistencyDocument
from controlplane.settings import load_settings

COLUMNS = ("kind", "tenant", "resource", "detail")


def doctor(format: FormatOption = Format.TABLE) -> None:
    """Compare the rows with the actors and with every provider's resources; exit 1 on a difference.

    Changes nothing. Work in flight is no difference; one that the next sweep mends may be seen once, and not again.
    """
    with Client.of(load_settings()) as client, progress("comparing rows, actors and resources"):
        found = client.consistency()
    report(found, format)


def report(found: ConsistencyDocument, format: Format) -> None:
    """Show what was found; ends the command with exit 1 where that is something."""
    differences = found["differences"]
    if format is Format.TABLE and not differences:
        output.print("[green]No differences[/green]: rows, actors and resources agree.")
        return
    rows = [(one["kind"], one["tenant"], one["resource"], one["detail"]) for one in differences]
    show(found, format, COLUMNS, rows)
    if differences:
        raise typer.Exit(Exit.FAILED)
