"""The database part of `landlord up`, behind the interface of `controlplane.local`."""

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.cli.database import ask, run
from controlplane.persistence import bootstrap, clusters

UP = "landlord up"


class PostgresBootstrap:
    """Blocks; each call runs in an event loop of its own. Raises Unavailable if the database does not answer."""

    def __init__(self, *, keep_events_seconds: float | None = None) -> None:
        """Events that are younger stay, whatever the control plane is told later. None: as the database has it."""
        self._keep = keep_events_seconds

    def register(
        self,
        database_url: str,
        *,
        owner_url: str | None,
        home: str,
        before: str | None,
        build: str,
        admin_token: str,
    ) -> str:
        return run(
            bootstrap.prepare(
                database_url,
                home=home,
                before=before,
                build=build,
                admin_token=admin_token,
                owner_url=owner_url,
                keep_events_seconds=self._keep,
            )
        )

    def has_ended(self, database_url: str, cluster_id: str) -> bool:
        return ask(database_url, lambda database: clusters.has_ended(database, cluster_id), application=UP)

    def announce(
        self, database_url: str, cluster_id: str, *, build: str, address: str, port: int, gcs: int, stored: bool
    ) -> None:
        head = clusters.Head(address, port, gcs, stored)
        ask(
            database_url,
            lambda database: clusters.announce(database, cluster_id, head, build=build),
            application=UP,
        )

    def admit(self, database_url: str, *, home: str, before: str | None, admin_token: str) -> None:
        ask(
            database_url,
            lambda database: bootstrap.admit(database, admin_token, home=home, before=before),
            application=UP,
        )

    def migrate(self, database_url: str, *, owner_url: str | None) -> None:
        async def migrate(database: AsyncEngine) -> None:
            async with bootstrap.opened(owner_url, application=UP) as owner:
                await bootstrap.migrate(database, owner=owner, keep_events_seconds=self._keep)

        ask(database_url, migrate, application=UP)
