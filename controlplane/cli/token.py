"""`landlord token`: bearer tokens and their roles."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

import typer

from controlplane.cli.connection import connect
from controlplane.cli.console import errors, output
from controlplane.cli.output import Format, FormatOption, instant, show
from landlord_client import Token

app = typer.Typer(help="Create, list and revoke bearer tokens (admin).", no_args_is_help=True)

COLUMNS = ("name", "role", "state", "reach", "created", "expires", "last used", "revoked")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


def _seconds(text: str) -> int | Literal["never"]:
    if text == "never":
        return "never"
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is neither `never` nor a number followed by s, m, h or d, such as 90d")
    return int(found[1]) * SECONDS[found[2]]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Shown in the audit trail, with the token's id.")],
    role: Annotated[
        Role, typer.Option(help="viewer reads, operator changes tenants and executions, admin does everything.")
    ],
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            "--expires-in",
            metavar="30d",
            help="The token works for this time (s, m, h, d), or `never` expires. If left out: 90 days.",
        ),
    ] = None,
    select: Annotated[
        str,
        typer.Option(metavar="SELECTOR", help="It reaches only tenants with these labels, such as tier=gold."),
    ] = "",
    prefix: Annotated[
        str, typer.Option(metavar="PREFIX", help="It reaches only tenants whose name begins so, such as acme-.")
    ] = "",
    format: FormatOption = Format.TABLE,
) -> None:
    """Create a token and print its secret. The secret is shown only now.

    With --select or --prefix, all other tenants are not there for it.
    Only the secret goes to stdout: LANDLORD_TOKEN=$(landlord token create ci --role operator)

    Example: landlord token create ci --role operator --prefix acme-
    """
    with connect() as client:
        made = client.create_token(
            name,
            role.value,
            expires_in_seconds=None if expires is None else _seconds(expires),
            name_prefix=prefix,
            selector=select,
        )
    if format is not Format.TABLE:
        show(made, format, (), ())
        return
    until = f"until {instant(made.expires_at)}" if made.expires_at else "until it is revoked"
    errors.print(f"{name}: {made.role} of {_reach(made)} {until}; keep the secret, it is not shown again", markup=False)
    output.print(made.token, markup=False)


@app.command("list")
def list_tokens(format: FormatOption = Format.TABLE) -> None:
    """List all tokens by name, including revoked and expired ones. Secrets are never shown.

    Example: landlord token list
    """
    with connect() as client:
        found = list(client.iterate_tokens())
    rows = [
        (
            token.name,
            token.role,
            _state(token, datetime.now(UTC)),
            _reach(token),
            instant(token.created_at),
            instant(token.expires_at),
            instant(token.last_used_at),
            instant(token.revoked_at),
        )
        for token in found
    ]
    show(found, format, COLUMNS, rows)


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="The token's name, as in `landlord token list`.")]) -> None:
    """Revoke a token for good. To give access again, create a token with another name.

    Example: landlord token revoke ci
    """
    with connect() as client:
        revoked = client.revoke_token(name)
    output.print(f"{name}: revoked {instant(revoked.revoked_at)}", markup=False)


def _reach(token: Token) -> str:
    """In one word for a table, as the options were written. An older server says nothing, since there is nothing."""
    prefix, selector = token.name_prefix, token.selector
    return ",".join([*([f"{prefix}*"] if prefix else []), *([selector] if selector else [])]) or "all"


def _state(token: Token, now: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    expires = token.expires_at
    return "expired" if expires is not None and expires <= now else "active"
