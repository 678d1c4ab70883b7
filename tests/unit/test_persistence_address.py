"""Database URLs as providers, psql and ORMs hand them out."""

import ssl

import pytest

from controlplane.errors import SettingsError
from controlplane.persistence.address import address

HANDED_OUT = {
    "Neon": "postgresql://neondb_owner:npg_x@ep-cool-1.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
    "Neon, by endpoint": "postgres://u:p@eu.aws.neon.tech/main?sslmode=require&options=endpoint%3Dep-cool-1",
    "Supabase, session pooler": "postgresql://postgres.abcd:p@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
    "RDS": "postgresql://postgres:p%2F%40@db.c9.eu-west-1.rds.amazonaws.com:5432/landlord?sslmode=require",
    "DigitalOcean": "postgresql://doadmin:p@db-do-user-1.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
    "Heroku": "postgres://u:p@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d5",
    "psql": "postgresql://me@db.internal/landlord?application_name=psql&connect_timeout=10&gssencmode=disable",
    "several hosts": "postgresql://u:p@one:5432,two:5433/db?target_session_attrs=read-write",
    "SQLAlchemy": "postgresql+asyncpg://u:p@db/landlord",
}


@pytest.mark.parametrize("url", HANDED_OUT.values(), ids=HANDED_OUT)
def test_what_is_handed_out_is_taken(url: str) -> None:
    where = address(url)
    assert where.dsn.startswith("postgresql://")
    assert not any(word in where.dsn for word in ("channel_binding", "application_name", "gssencmode"))
    assert not where.on_this_machine
    assert "p%2F" not in repr(where)
    assert "npg_x" not in repr(where)


def test_channel_binding_that_is_required_is_a_verified_certificate() -> None:
    where = address(HANDED_OUT["Neon"])
    context = where.options["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert "sslmode" not in where.dsn


@pytest.mark.parametrize(
    ("query", "checks_name"),
    [("sslmode=verify-full", True), ("sslmode=verify-full&sslrootcert=system", True), ("sslmode=verify-ca", False)],
)
def test_verification_without_a_file_is_by_the_machines_authorities(query: str, checks_name: bool) -> None:
    context = address(f"postgresql://u@h/d?{query}").options["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, checks_name)


def test_options_of_the_server_stay() -> None:
    assert address(HANDED_OUT["Neon, by endpoint"]).dsn.endswith("options=endpoint%3Dep-cool-1")
    assert "options=-c%20search_path%3Dx" in address("postgresql://u@h/d?options=-c%20search_path%3Dx").dsn


def test_of_several_hosts_the_one_that_takes_writes() -> None:
    assert "target_session_attrs=read-write" in address("postgresql://u@one,two/d").dsn
    assert "target_session_attrs=any" in address("postgresql://u@one,two/d?target_session_attrs=any").dsn
    assert "target_session_attrs" not in address("postgresql://u@one/d").dsn


@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://landlord@/landlord?host=/run/pg", "postgresql://u@%2Frun%2Fpg/landlord"]
)
def test_a_socket_is_on_this_machine(url: str) -> None:
    where = address(url)
    assert (where.on_this_machine, where.database) == (True, "landlord")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://u@h/d", "postgresql://"),
        ("postgresql://u:s3cr#t@h/d", "%23"),
        ("postgresql://u:s3cr/t@h/d", "%2F"),
        ("postgresql://u:s3cr@t@h/d", "%40"),
        ("postgresql://u:p@h:port/d", "port must be a number"),
        ("postgresql://u:p@h/d?sslmode=on", "sslmode=on is not one of"),
        ("postgresql://u:p@h/d?sslmode=disable&channel_binding=require", "needs TLS"),
        ("postgresql://u:p@h/d?channel_binding=yes", "channel_binding=yes"),
        ("postgresql://u:p@h/d?sslmode=verify-full&sslrootcert=/nowhere.pem", "sslrootcert: there is no file"),
        ("postgresql://u:p@h/d?pgbouncer=true", "it is Prisma's"),
        ("postgresql://u:p@h/d?lock_timeout=5", "options=-c%20NAME%3DVALUE"),
        ("postgresql://u:p@h/d?sslmode", "NAME=VALUE"),
    ],
)
def test_the_rest_is_refused_by_name_and_without_the_password(url: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        address(url)
    message = str(refused.value)
    assert told in message
    assert "\n" not in message
    assert "s3cr" not in message
