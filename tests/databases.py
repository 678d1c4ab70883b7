"""Databases in the Postgres of the test session."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine


@asynccontextmanager
async def copied(postgres: str, template: str) -> AsyncIterator[str]:
    """The URL of a copy of that database. Nobody may be connected to the template."""
    name = f"t_{uuid4().hex[:12]}"
    yield await create_database(postgres, name, template)
    await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def create_database(postgres: str, name: str, template: str = "template1") -> str:
    await _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    return make_url(postgres).set(database=name).render_as_string(hide_password=False)


async def _execute(url: str, statement: str) -> None:
    database = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with database.connect() as connection:
        await connection.execute(text(statement))
    await database.dispose()
