"""This home's cluster in its database. `drain` marks it, `up` clears the mark, `status` shows it."""

import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.cli.database import ask
from controlplane.errors import NotRunning
from controlplane.local.installation import Installation
from controlplane.local.state import RunState
from controlplane.model import ClusterState
from controlplane.persistence import clusters, nodes
from controlplane.persistence.nodes import Nodes
from controlplane.settings import Settings

T = TypeVar("T")


class Cluster:
    """The cluster that the last `up` of this home started. Every call blocks, and raises Unavailable if the database
    does not answer."""

    def __init__(self, id: str, database_url: str) -> None:
        self.id = id
        self._database_url = database_url

    @classmethod
    def of(cls, settings: Settings) -> "Cluster":
        """Raises NotRunning if nothing was started."""
        installation = Installation(settings, os.environ, lambda _: None)
        state = RunState.read(installation.home.state)
        if state is None:
            raise NotRunning(f"no control plane runs in {installation.home.root}; start it with `landlord up`")
        given = settings.database_url
        return cls(state.cluster_id, given.get_secret_value() if given is not None else installation.postgres.url)

    def drain(self) -> datetime:
        """Mark the cluster as draining; return the database's time. Raises NotRunning if the cluster has ended."""
        since = self._ask(lambda database: clusters.drain(database, self.id, actor="landlord drain"))
        if since is None:
            raise NotRunning(f"the cluster {self.id} has ended; start another with `landlord up`")
        return since

    def undrain(self, actor: str) -> bool:
        """End the drain. Returns False if the cluster was not draining."""
        return self._ask(lambda database: clusters.undrain(database, self.id, actor=actor))

    def take_over(self, address: str) -> int:
        """End the clusters whose head at this address is dead; return their number."""
        return self._ask(lambda database: clusters.take_over(database, self.id, address, actor="landlord up"))

    @property
    def draining(self) -> bool:
        return self._ask(lambda database: clusters.state(database, self.id)) is ClusterState.DRAINING

    def nodes(self) -> Nodes:
        """Its machines, as its supervisor saw them last."""
        return self._ask(lambda database: nodes.nodes(database, self.id))

    def left(self, since: datetime) -> int | None:
        """The number of tenants that it still owns. None: its supervisor has not seen the mark of `since` yet."""
        return self._ask(lambda database: clusters.left(database, self.id, since=since))

    def _ask(self, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
        return ask(self._database_url, work, application="landlord command")
