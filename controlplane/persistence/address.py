"""`LANDLORD_DATABASE_URL` as people get it: from psql, Neon, Supabase, RDS, DigitalOcean, Heroku or an ORM's settings.

asyncpg reads the URL as libpq does. Here is what it does not know, and the refusal of what nobody would read.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from controlplane.errors import SettingsError

SETTING = "LANDLORD_DATABASE_URL"
OWNER_SETTING = "LANDLORD_DATABASE_OWNER_URL"
SCHEMES = {"postgres", "postgresql", "postgresql+asyncpg"}

_ASYNCPG = {
    *("host", "port", "user", "password", "dbname", "passfile", "krbsrvname", "target_session_attrs", "options"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
}
"""Parameters that asyncpg reads, or hands to the server (`options`)."""
_OURS = {
    *("application_name", "fallback_application_name", "connect_timeout", "client_encoding", "gssencmode"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
}
"""Parameters of libpq for which the control plane has its own values, or that change nothing for it."""
_HINTS = {
    "service": "write what the service file says into the URL",
    "pgbouncer": "it is Prisma's; leave it out, and use the pooler in session mode",
    "connection_limit": "it is Prisma's; limit the role instead: ALTER ROLE … CONNECTION LIMIT",
    "pool_timeout": "it is Prisma's; leave it out",
    "schema": "it is Prisma's; write options=-c%20search_path%3DNAME",
    "ssl": "write sslmode=require or sslmode=verify-full",
    "tls": "write sslmode=require or sslmode=verify-full",
    "requirepeer": "the embedded Postgres checks its peer; another one is named by host and TLS",
}
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is, in asyncpg's words. Its text holds the password, so it is in no repr."""

    dsn: str = field(repr=False)
    database: str
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Further arguments of `asyncpg.connect`."""
    on_this_machine: bool = False
    """A Unix socket: no other machine reaches it."""


def address(url: str) -> Address:
    """Raises SettingsError, in one line that names the parameter and never the password."""
    parts = urlsplit(url.strip())
    if parts.scheme not in SCHEMES:
        raise SettingsError(f"{SETTING} must be a postgresql:// URL")
    if parts.fragment or "@" in parts.path or parts.netloc.count("@") > 1:
        raise SettingsError(f"{SETTING}: in a user or password, write # as %23, / as %2F, @ as %40 and % as %25")
    if any(not port.isdigit() for _, _, port in map(_host_and_port, _listed(parts.netloc)) if port):
        raise SettingsError(f"{SETTING}: the port must be a number")
    try:
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise SettingsError(f"{SETTING}: the part behind the ? must be NAME=VALUE&NAME=VALUE") from None
    binding = query.pop("channel_binding", "prefer")
    for name in query:
        if name not in _ASYNCPG | _OURS:
            hint = _HINTS.get(name, "settings of the server go into options=-c%20NAME%3DVALUE")
            raise SettingsError(f"{SETTING}: {name} is not a parameter of Postgres; {hint}")
    kept = {name: value for name, value in query.items() if name in _ASYNCPG}
    options = _options(kept, binding)
    hosts = _hosts(parts.netloc, kept)
    if len(hosts) > 1:
        # A replica can take no write: behind several addresses, the one that can is wanted.
        kept.setdefault("target_session_attrs", "read-write")
    # libpq decodes %20 and leaves + as it is; `urlencode` would write one for a space.
    dsn = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(kept, quote_via=quote), ""))
    return Address(
        dsn,
        database=kept.get("dbname") or unquote(parts.path.lstrip("/")),
        options=options,
        on_this_machine=all(host.startswith("/") for host in hosts),
    )


def _listed(netloc: str) -> list[str]:
    return [one for one in netloc.rpartition("@")[2].split(",") if one]


def _host_and_port(one: str) -> tuple[str, str, str]:
    """`HOST`, `HOST:PORT` or `[IPv6]:PORT`, parted at the colon before the port."""
    return one.partition("]:") if one.startswith("[") else one.partition(":")


def _hosts(netloc: str, query: dict[str, str]) -> list[str]:
    return [unquote(_host_and_port(one)[0]) for one in _listed(netloc)] or query.get("host", "").split(",")


def _options(query: dict[str, str], binding: str) -> dict[str, Any]:
    """The TLS context if asyncpg would not make the right one. Takes out of `query` what the context stands for.

    `channel_binding=require` wants proof that nobody is in between. asyncpg has no channel binding, so the proof is the
    server's certificate."""
    mode = query.get("sslmode", "prefer")
    if mode not in _MODES:
        raise SettingsError(f"{SETTING}: sslmode={mode} is not one of {', '.join(_MODES)}")
    if binding not in ("disable", "prefer", "require"):
        raise SettingsError(f"{SETTING}: channel_binding={binding} is not one of disable, prefer, require")
    if binding == "require":
        if mode in ("disable", "allow"):
            raise SettingsError(f"{SETTING}: channel_binding=require needs TLS, and sslmode={mode} does not")
        query["sslmode"] = mode = "verify-full"
    for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
        file = query.get(name)
        if file and not (name == "sslrootcert" and file == "system") and not Path(file).is_file():
            raise SettingsError(f"{SETTING}: {name}: there is no file {file}")
    if not mode.startswith("verify-") or query.get("sslrootcert", "system") != "system" or "sslcert" in query:
        return {}
    del query["sslmode"]
    query.pop("sslrootcert", None)
    context = ssl.create_default_context()
    context.check_hostname = mode == "verify-full"
    return {"ssl": context}
