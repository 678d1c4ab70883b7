"""The database part of `landlord up`, behind the interface of `controlplane.local`."""

from controlplane.cli.database import ask, run
from controlplane.persistence import bootstrap


class PostgresBootstrap:
    """Blocks; each call runs in an event loop of its own. Raises Unavailable if the database does not answer."""

    def register(self, database_url: str, *, home: str, before: str | None, build: str, admin_token: str) -> str:
        return run(bootstrap.prepare(database_url, home=home, before=before, build=build, admin_token=admin_token))

    def admit(self, database_url: str, *, home: str, before: str | None, admin_token: str) -> None:
        ask(
            database_url,
            lambda database: bootstrap.admit(database, admin_token, home=home, before=before),
            application="landlord up",
        )

    def migrate(self, database_url: str) -> None:
        ask(database_url, bootstrap.migrate, application="landlord up")
