"""`landlord context`: control planes by name."""

import sys
from pathlib import Path
from typing import Annotated

import httpx
import typer
from pydantic import SecretStr

from controlplane.cli.completion import contexts as known
from controlplane.cli.console import output
from controlplane.cli.output import Format, FormatOption, show
from controlplane.client.contexts import NAME, Context, Contexts, contexts_path
from landlord_client.address import in_clear

app = typer.Typer(help="Name control planes and choose among them.", no_args_is_help=True)

Known = Annotated[str, typer.Argument(help="The context's name.", autocompletion=known)]
COLUMNS = ("name", "in use", "url", "token", "ca")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A word of your own, such as prod.")],
    url: Annotated[str, typer.Option(help="The control plane's address.")],
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with the bearer token; - reads stdin. If left out: LANDLORD_TOKEN, at each command."),
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificates (PEM) that its https is trusted by.")] = None,
) -> None:
    """Name a control plane. A context of the same name is replaced.

    The token is copied into a file that only you can read, and is never shown.

    Example: landlord context add prod --url https://landlord.example.com --token-file prod.token
    """
    if NAME.fullmatch(name) is None:
        raise typer.BadParameter("a name has letters, digits, '.', '_' and '-', at most 63", param_hint="NAME")
    made = Context(
        url=_address(url),
        token=None if token_file is None else _token(token_file),
        ca=None if ca is None else _authorities(ca),
    )
    path = contexts_path()
    Contexts.read(path).having(name, made).write(path)
    output.print(f"{name}: {made.url}; `landlord context use {name}` chooses it", markup=False)


@app.command()
def use(
    name: Annotated[
        str | None,
        typer.Argument(help="The context's name. If left out: this home's own.", autocompletion=known),
    ] = None,
) -> None:
    """Have the commands call this control plane from now on.

    --context and LANDLORD_CONTEXT choose one for a command or a shell. LANDLORD_URL goes before every context.
    `landlord up`, `down`, `status`, `drain`, `restore`, `install`, `config` and `demo` are about this machine and know
    no contexts.

    Example: landlord context use prod
    """
    path = contexts_path()
    Contexts.read(path).using(name).write(path)
    output.print("the control plane of this home" if name is None else f"{name} is in use", markup=False)


@app.command("list")
def list_contexts(format: FormatOption = Format.TABLE) -> None:
    """List the contexts. Tokens are never shown.

    Example: landlord context list
    """
    found = Contexts.read(contexts_path())
    documents = [
        {
            "name": name,
            "in_use": name == found.in_use,
            "url": one.url,
            "has_token": one.token is not None,
            "ca": None if one.ca is None else str(one.ca),
        }
        for name, one in sorted(found.contexts.items())
    ]
    if format is Format.TABLE and not documents:
        output.print("no contexts: the commands call the control plane of this home")
        return
    rows = [
        (
            one["name"],
            "yes" if one["in_use"] else "",
            one["url"],
            "stored" if one["has_token"] else "LANDLORD_TOKEN",
            one["ca"],
        )
        for one in documents
    ]
    show(documents, format, COLUMNS, rows)


@app.command()
def remove(name: Known) -> None:
    """Forget a context and its token. The token itself stays valid: `landlord token revoke` ends it.

    Example: landlord context remove prod
    """
    path = contexts_path()
    Contexts.read(path).without(name).write(path)
    output.print(f"{name} is forgotten", markup=False)


def _address(url: str) -> str:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise typer.BadParameter(f"{error}", param_hint="--url") from None
    if parts.scheme not in ("http", "https") or not parts.host or parts.userinfo:
        raise typer.BadParameter("an address is http(s)://HOST[:PORT], without a user in it", param_hint="--url")
    if in_clear(url):
        raise typer.BadParameter(
            f"{url} is not https and not on this machine; the token would go there in clear", param_hint="--url"
        )
    return url.rstrip("/")


def _token(file: Path) -> SecretStr:
    try:
        text = (sys.stdin.read() if str(file) == "-" else file.read_text()).strip()
    except (OSError, UnicodeDecodeError) as error:
        detail = getattr(error, "strerror", None) or "it is not text"
        raise typer.BadParameter(f"{file} cannot be read: {detail}", param_hint="--token-file") from None
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        # What was read may be a secret; it is not repeated.
        raise typer.BadParameter(f"{file} does not hold one token", param_hint="--token-file")
    return SecretStr(text)


def _authorities(file: Path) -> Path:
    if not file.expanduser().is_file():
        raise typer.BadParameter(f"{file} is not a file", param_hint="--ca")
    return file.expanduser().absolute()
