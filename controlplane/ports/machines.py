"""The other machines of the cluster, for what only the machine of a resource can do."""

from collections.abc import Sequence
from typing import Protocol

from controlplane.ports.compute import LogPart, Ran, Resource


class RemoteCompute(Protocol):
    """A compute provider on another machine: of its verbs those that a client waits for. Each raises what the provider
    there raises, and Unavailable if that machine does not answer."""

    async def inspect(self, resource_id: str) -> Resource | None: ...

    async def logs(self, resource_id: str, tail: int) -> str: ...

    async def logs_after(self, resource_id: str, position: str | None, tail: int) -> LogPart: ...

    async def run_command(self, resource_id: str, command: Sequence[str], seconds: float) -> Ran: ...


class Machines(Protocol):
    def compute(self, node: str, *, head: bool, provider: str) -> RemoteCompute:
        """The provider of that name on that node. `head`: the node is the cluster's head. Asks nobody yet."""
        ...
