"""The raylet of one node: which of its workers are unused, the order for more, and the end of the unused ones.

By the services that Ray's own parts ask, `NodeManagerService` and `CoreWorkerService`, with the cluster's token. They
are no public interface of Ray, which is one reason why Ray is pinned exactly.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
import ray
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import core_worker_pb2_grpc, node_manager_pb2_grpc
from ray.core.generated.common_pb2 import Language, WorkerType
from ray.core.generated.core_worker_pb2 import ExitRequest
from ray.core.generated.node_manager_pb2 import GetNodeStatsRequest, PrestartWorkersRequest

from actors.nodes import HEAD
from controlplane.errors import Unavailable

ANSWER_SECONDS = 3.0
"""A raylet asks each of its workers, and waits for those that are stopped."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a node, by Ray's ids. `unused`: those that may become any actor."""

    all: frozenset[str]
    unused: frozenset[str]


def addresses(*, head_only: bool) -> list[str]:
    """`host:port` of the raylet of each living node, or of the head's alone. Blocks for some milliseconds."""
    return [
        f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and (not head_only or HEAD in node["Resources"])
    ]


class Raylet:
    """One raylet at this `host:port`. Belongs to the event loop that made it. Each method raises Unavailable if the
    raylet does not answer within ANSWER_SECONDS."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = init_grpc_channel(address, asynchronous=True)
        self._stub: Any = node_manager_pb2_grpc.NodeManagerServiceStub(self._channel)

    async def workers(self) -> Workers:
        """The Python workers that have registered. Those that are only being started are not among them."""
        workers = await self._workers()
        return Workers(
            all=frozenset(one.worker_id.hex() for one in workers),
            unused=frozenset(one.worker_id.hex() for one in workers if _unused(one)),
        )

    async def start(self, number: int, *, keep_seconds: int) -> None:
        """Order this many more. The raylet starts no more at once than it has CPUs. It keeps an unused one for
        `keep_seconds` at least."""
        request = PrestartWorkersRequest(
            language=Language.PYTHON, num_workers=number, keep_alive_duration_secs=keep_seconds
        )
        await self._ask(self._stub.PrestartWorkers, request)

    async def dismiss(self) -> None:
        """Ask each unused worker to end. One that has got work meanwhile stays, as does one that does not answer."""
        workers = await self._workers()
        ending = (self._end(f"{one.ip_address}:{one.port}") for one in workers if _unused(one))
        await asyncio.gather(*ending, return_exceptions=True)

    async def close(self) -> None:
        await self._channel.close()

    async def _workers(self) -> list[Any]:
        found = await self._ask(self._stub.GetNodeStats, GetNodeStatsRequest(include_memory_info=False))
        return [
            one
            for one in found.core_workers_stats
            if one.worker_type == WorkerType.WORKER and one.language == Language.PYTHON
        ]

    async def _end(self, worker: str) -> None:
        channel = init_grpc_channel(worker, asynchronous=True)
        try:
            await self._ask(core_worker_pb2_grpc.CoreWorkerServiceStub(channel).Exit, ExitRequest(force_exit=False))
        finally:
            await channel.close()

    async def _ask(self, call: Any, request: Any) -> Any:
        try:
            return await call(request, timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            raise Unavailable(f"the raylet at {self._address} does not answer ({type(error).__name__})") from None


def _unused(worker: Any) -> bool:
    return not worker.num_executed_tasks and _nil(worker.actor_id) and _nil(worker.job_id)


def _nil(id: bytes) -> bool:
    """Ray fills an id that says nothing with ones."""
    return not id.strip(b"\xff")
