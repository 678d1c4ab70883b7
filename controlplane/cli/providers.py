"""`landlord providers`: the compute and workflow providers enabled here."""

from typing import Annotated

import typer

from controlplane.cli.connection import connect
from controlplane.cli.output import Format, FormatOption, show
from landlord_client import Providers

COLUMNS = ("kind", "name", "state", "capabilities", "detail")


def providers(
    schema: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show the JSON Schema of this compute provider's config instead.")
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show the enabled providers: compute providers with their health, workflow providers with the default marked.

    Example: landlord providers --schema docker
    """
    with connect() as client:
        if schema is not None:
            # A schema has no rows.
            shown = Format.YAML if format is Format.YAML else Format.JSON
            show(client.provider_schema(schema), shown, (), ())
            return
        found = client.list_providers()
    show(found, format, COLUMNS, _rows(found))


def _rows(found: Providers) -> list[tuple[object, ...]]:
    compute = [
        (
            "compute",
            provider.name,
            "healthy" if provider.healthy else "unhealthy",
            ",".join([*provider.capabilities, *(["one-node"] if provider.one_node else [])]),
            provider.detail,
        )
        for provider in found.compute
    ]
    workflow = [
        ("workflow", provider.name, "default" if provider.default else "", "", "") for provider in found.workflow
    ]
    return [*compute, *workflow]
