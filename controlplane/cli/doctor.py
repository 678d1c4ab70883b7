"""`landlord doctor`: compare everything with the rows."""

import typer

from controlplane.cli.connection import connect
from controlplane.cli.console import errors, output, progress
from controlplane.cli.exit_codes import Exit
from controlplane.cli.output import Format, FormatOption, show
from landlord_client import Consistency

COLUMNS = ("kind", "tenant", "resource", "detail")
RUNBOOKS = "docs/runbooks.md"
"""It has a heading for each kind."""


def doctor(format: FormatOption = Format.TABLE) -> None:
    """Compare the rows with the actors and with every provider's resources; exit 1 if there is a difference.

    This changes nothing. Work in flight does not count as a difference. A difference that the next sweep mends may
    appear once, and not again. A note (on standard error) is no difference.

    Example: landlord doctor
    """
    with connect() as client, progress("comparing rows, actors and resources"):
        found = client.consistency()
    report(found, format)


def report(found: Consistency, format: Format) -> None:
    """Show the differences, and where it is written what to do. If there is one, end the command with exit 1."""
    differences = found.differences
    if format is Format.TABLE:
        for note in found.notes:
            errors.print(f"{note.kind}: {note.detail} ({RUNBOOKS}#{note.kind})", markup=False)
    if format is Format.TABLE and not differences:
        output.print("[green]No differences[/green]: rows, actors and resources agree.")
        return
    rows = [(one.kind, one.tenant, one.resource, one.detail) for one in differences]
    show(found, format, COLUMNS, rows)
    if format is Format.TABLE:
        for kind in sorted({one.kind for one in differences}):
            errors.print(f"{kind}: what to do is in {RUNBOOKS}#{kind}", markup=False)
    if differences:
        raise typer.Exit(Exit.FAILED)
