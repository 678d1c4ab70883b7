"""`landlord config`: the settings in effect."""

import typer

from controlplane.cli.output import Format, FormatOption, show
from controlplane.settings import PREFIX, load_settings

app = typer.Typer(help="Show the effective settings.", no_args_is_help=True)


@app.command("show")
def show_config(
    format: FormatOption = Format.TABLE,
) -> None:
    """Show the settings in effect. Environment overrides file, file overrides defaults. Secrets are stars.

    Example: landlord config show
    """
    settings = load_settings().masked()
    rows = [(f"{PREFIX}{name.upper()}", name, _text(value)) for name, value in settings.items()]
    show(settings, format, ("variable", "key in config.yaml", "value"), rows)


def _text(value: object) -> object:
    return ",".join(value) if isinstance(value, list) else value
