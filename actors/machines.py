"""Compute on the other machines of the cluster, by our actor there: its outpost, or on the head the supervisor."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ray.exceptions import RayError, RayTaskError

from actors.names import Names
from actors.naming import SUPERVISOR, outpost_actor
from controlplane.errors import LandlordError, ProviderNotEnabled, Unavailable
from controlplane.ports import ComputeProvider, LogPart, Ran, Resource

ANSWER_SECONDS = 10.0
"""What the machine itself takes to read, and to be reached."""

Verb = Literal["inspect", "logs", "logs_after", "run_command"]


class RayMachines:
    """`ports.Machines` on Ray's named actors."""

    def __init__(self) -> None:
        self._names = Names()

    def compute(self, node: str, *, head: bool, provider: str) -> "RayCompute":
        return RayCompute(self._names, node, SUPERVISOR if head else outpost_actor(node), provider)


class RayCompute:
    """`ports.RemoteCompute` by an actor on that node."""

    def __init__(self, names: Names, node: str, actor: str, provider: str) -> None:
        self._names, self._node, self._actor, self._provider = names, node, actor, provider

    async def inspect(self, resource_id: str) -> Resource | None:
        found: Resource | None = await self._ask("inspect", resource_id)
        return found

    async def logs(self, resource_id: str, tail: int) -> str:
        return str(await self._ask("logs", resource_id, tail))

    async def logs_after(self, resource_id: str, position: str | None, tail: int) -> LogPart:
        part: LogPart = await self._ask("logs_after", resource_id, position, tail)
        return part

    async def run_command(self, resource_id: str, command: Sequence[str], seconds: float) -> Ran:
        ran: Ran = await self._ask("run_command", resource_id, list(command), seconds, takes=seconds)
        return ran

    async def _ask(self, verb: Verb, *arguments: Any, takes: float = 0.0) -> Any:
        try:
            actor = await self._names.find(self._actor)
            if actor is None:
                raise self._silent("no actor")
            asked = actor.use_compute.remote(self._provider, verb, *arguments)
            return await asyncio.wait_for(asked, takes + ANSWER_SECONDS)
        except RayTaskError as error:
            if isinstance(error.cause, LandlordError):
                raise error.cause from None
            raise
        except (TimeoutError, RayError) as error:
            raise self._silent(type(error).__name__) from None

    def _silent(self, why: str) -> Unavailable:
        return Unavailable(f"the tenant runs on node {self._node}, which does not answer ({why})")


async def use(compute: Mapping[str, ComputeProvider], provider: str, verb: Verb, *arguments: Any) -> Any:
    """Do it here. Raises ProviderNotEnabled, and what the provider raises."""
    if provider not in compute:
        raise ProviderNotEnabled(f"compute provider {provider!r} is not enabled there")
    return await getattr(compute[provider], verb)(*arguments)
