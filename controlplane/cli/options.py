"""Arguments and options that several commands have in common."""

from pathlib import Path
from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(help="The tenant's name, or its id.")]
File = Annotated[Path | None, typer.Option("-f", "--file", help="YAML or JSON; - reads stdin.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Set one value, read as YAML; may be repeated.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is done; exit 1 when it ends badly.")]
Timeout = Annotated[float, typer.Option(help="Seconds that --wait takes at most.")]
IfMatch = Annotated[int | None, typer.Option(help="Only if this is still the tenant's version.")]
Key = Annotated[str | None, typer.Option(help="The same key and request act once only.")]

DEFAULT_TIMEOUT = 600.0
