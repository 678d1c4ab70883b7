"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.completion import tenants

Name = Annotated[str, typer.Argument(help="The tenant's name, or its id.", autocompletion=tenants)]
File = Annotated[Path | None, typer.Option("-f", "--file", help="A YAML or JSON file; - reads stdin.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Set one value, read as YAML. May be repeated.")
]
ComposeFile = Annotated[
    str | None,
    typer.Option("--compose", metavar="FILE[:SERVICE]", help="A service of a compose file, instead of -f."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is done; exit 1 if it ends badly.")]
Timeout = Annotated[float, typer.Option(help="Longest time to wait, in seconds.")]
IfMatch = Annotated[int | None, typer.Option(help="Change the tenant only if this is still its version.")]
Selector = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        "--selector",
        "-l",
        metavar="SELECTOR",
        help="Only tenants with these labels: a=b,c!=d,'e in (x,y)',f,!g. May be repeated; all must match.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Key = Annotated[str | None, typer.Option(help="Repeating a request with the same key acts only once.")]

NameOrSelector = Annotated[
    str | None, typer.Argument(metavar="NAME", help="The tenant's name or id; or give -l.", autocompletion=tenants)
]

DEFAULT_TIMEOUT = 600.0
POLL_SECONDS = 0.5
"""Between two looks at what a drain has left."""
