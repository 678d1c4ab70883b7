"""`landlord execution`: past and running work for a tenant."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from controlplane.cli.completion import tenants
from controlplane.cli.connection import connect
from controlplane.cli.console import output
from controlplane.cli.elsewhere import Group, Place
from controlplane.cli.output import Format, FormatOption, instant, show, table
from landlord_client import Execution, Step


class ExecutionCommands(Group):
    elsewhere: ClassVar[Mapping[str, Place]] = {"retry": Place("tenant", "retry")}


app = typer.Typer(cls=ExecutionCommands, help="Show, cancel and retry executions.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="An execution's id, as in workflow_execution_id.")]
COLUMNS = ("execution", "state", "run", "retries", "trigger", "started", "ended", "error")


@app.command("list")
def list_executions(
    tenant: Annotated[
        str, typer.Argument(help="The tenant's name; for a deleted tenant its id.", autocompletion=tenants)
    ],
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many to show.")] = 50,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show a tenant's executions, newest first.

    Example: landlord execution list acme
    """
    with connect() as client:
        found = client.list_executions(tenant, limit=limit).items
    show(found, format, COLUMNS, [_row(execution) for execution in found])


@app.command()
def get(execution_id: Id, format: FormatOption = Format.TABLE) -> None:
    """Show one execution with its steps.

    Example: landlord execution get tenant-acme-provision-1-9f8e7d6c
    """
    with connect() as client:
        execution = client.get_execution(execution_id)
    show(execution, format, COLUMNS, [_row(execution)])
    if format is Format.TABLE:
        output.print()
        steps = execution.steps
        table(
            ("step", "state", "attempts", "error"),
            [(step.name, step.state, step.attempts, said_of(step)) for step in steps],
        )


@app.command()
def cancel(execution_id: Id) -> None:
    """Ask an execution to end. The tenant becomes failed; nothing is rolled back.

    Example: landlord execution cancel tenant-acme-provision-1-9f8e7d6c
    """
    with connect() as client:
        tenant = client.cancel_execution(execution_id)
    output.print(f"{execution_id}: asked to cancel, {tenant.name} is {tenant.status}", markup=False)


def said_of(step: Step) -> str:
    """The call that the present attempt waits for, if it takes long, and the error of the last attempt."""
    call = f"in a call to {step.in_call_to} since {instant(step.in_call_since)}" if step.in_call_to else ""
    return "; before: ".join(part for part in (call, step.error or "") if part)


def _row(execution: Execution) -> tuple[object, ...]:
    return (
        execution.id,
        execution.state,
        execution.run,
        execution.retry_count,
        execution.trigger_source,
        instant(execution.started_at),
        instant(execution.ended_at),
        execution.error,
    )
