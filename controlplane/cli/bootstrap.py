"""The database's part of `landlord up`, as `controlplane.local` asks for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError

from controlplane.errors import EngineUnavailable
from controlplane.persistence import bootstrap
from controlplane.persistence.engine import create_engine

T = TypeVar("T")


class PostgresBootstrap:
    """Blocking, each call in an event loop of its own. Raises EngineUnavailable where the database does not answer."""

    def register(self, database_url: str, *, home: str, build: str, admin_token: str) -> tuple[str, str]:
        prepared = _run(bootstrap.prepare(database_url, home=home, build=build, admin_token=admin_token))
        return prepared.cluster_id, prepared.installation_id

    def migrate(self, database_url: str) -> None:
        _run(_migrate(database_url))


async def _migrate(database_url: str) -> None:
    engine = create_engine(database_url, pool=1, application="landlord up")
    try:
        await bootstrap.migrate(engine)
    finally:
        await engine.dispose()


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (OSError, DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        raise EngineUnavailable(f"the database does not do its part: {' '.join(str(cause).split())}") from None
