"""For operators' scripts: the live actors, seen from a Ray client or from inside the cluster.

    from actors.operator import Operator, connected

    with connected("ray://127.0.0.1:10001"):
        operator = Operator()
        for actor in operator.actors():
            print(actor.name, actor.status, actor.doing)

Everything here looks, wakes or dismisses; nothing here changes a tenant's spec. Use the API for that. `examples/ray/`
has a program for each of these.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from actors.naming import NAMESPACE, SUPERVISOR, shared_actor, tenant_actor

ANSWER_SECONDS = 10.0
POLL_SECONDS = 0.5
NEWS_SECONDS = 2.0
"""An actor holds a question for news so long."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster for the time of a block; where there is a connection already, as inside the cluster in a
    task, do nothing.

    `address`: `ray://HOST:PORT` as `landlord up` prints it. The client has the cluster's versions of Ray and Python.
    Ray takes its token from RAY_AUTH_TOKEN_PATH, with RAY_AUTH_MODE=token, and reads both when it is imported. Raises
    ConnectionError if nothing answers there, or the token is not the cluster's.
    """
    if ray.is_initialized():
        yield
        return
    ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


@dataclass(frozen=True, slots=True)
class LiveActor:
    """One tenant's actor. `status` and what follows it are as the actor read its rows last. `answers` False: it did not
    answer in time, and only its name is known."""

    name: str
    answers: bool = True
    tenant_id: str | None = None
    status: str = ""
    generation: int = 0
    observed_generation: int = 0
    execution: str | None = None
    """The active one and its state."""
    fence: int = 0
    doing: Sequence[str] = field(default_factory=list)
    age_seconds: float = 0.0
    memory_bytes: int = 0
    """Resident; a part of it is shared among forked actors."""
    node: str = ""
    """Ray's id of the machine."""
    pid: int = 0
    build: str | None = None

    def as_row(self) -> dict[str, Any]:
        """For a table or a data frame: plain values."""
        return {**asdict(self), "doing": ", ".join(self.doing)}


class Operator:
    """Blocking calls on live actors, bounded by ANSWER_SECONDS. Raises LookupError if there is no such actor, and
    ray.exceptions.GetTimeoutError if it does not answer."""

    # --- look ---

    def supervisor(self) -> dict[str, Any]:
        """`describe` of the supervisor: live tenants, ceiling, queue, the last sweep's stages, build, pid."""
        return self._ask(SUPERVISOR)

    def live(self) -> list[str]:
        """Names of the tenants with live actors."""
        return list(self.supervisor()["live"])

    def actors(self, names: Sequence[str] | None = None) -> list[LiveActor]:
        """The live actors by name, or those of `names` that are live; all are asked at once."""
        asked: dict[str, Any] = {}
        for name in self.live() if names is None else names:
            try:
                asked[name] = self._find(tenant_actor(name)).describe.remote()
            except LookupError:
                continue  # it left since
        if not asked:
            return []
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECONDS)
        found = [self._answered(name, answer) for name, answer in sorted(asked.items())]
        return [actor for actor in found if actor is not None]

    def tenant(self, name: str) -> dict[str, Any]:
        """`describe` of a live tenant actor: tenant id, what its rows said last, present work, age in seconds, memory
        in bytes, node, build, pid."""
        return self._ask(tenant_actor(name))

    def decisions(self, name: str, *, after: int = 0, seconds: float = 0.0) -> list[dict[str, Any]]:
        """The last decisions of a live actor, the oldest first: `number`, `at`, `what` it decided, `why`, and the
        versions of its `rows` then (`actors.tenant.replay`). `after`: only those with a higher number. `seconds`: wait
        so long for one."""
        asked = self._find(tenant_actor(name)).decisions.remote(after, seconds)
        return list(ray.get(asked, timeout=ANSWER_SECONDS + seconds))

    def follow(self, name: str, *, after: int | None = None, timeout: float = 600.0) -> Iterator[dict[str, Any]]:
        """Each decision and step of a live actor as it comes, until nothing is under way for its tenant, or it leaves.
        `after`: the number of the last decision that was seen; None: only what comes. Ends after `timeout` seconds."""
        end = time.monotonic() + timeout
        seen = self.decisions(name)
        last = (seen[-1]["number"] if seen else 0) if after is None else after
        while time.monotonic() < end:
            try:
                rows = self.tenant(name)["rows"]
                rests = bool(rows) and rows["active"] is None and rows["queued"] is None
                # What it decided up to that look, and if it is at work, what comes next.
                news = self.decisions(name, after=last, seconds=0.0 if rests else NEWS_SECONDS)
            except (LookupError, RayActorError):
                return  # it has left
            for entry in news:
                last = entry["number"]
                yield entry
            if rests:
                return

    def slowest(self, action: str = "provision", *, within: float = 3600.0, most: int = 10) -> list[dict[str, Any]]:
        """The executions that took longest of those that ended in the last `within` seconds, with the seconds of each
        step. Asks the database, through the supervisor."""
        asked = self._find(SUPERVISOR).slowest.remote(action, within, most)
        return list(ray.get(asked, timeout=ANSWER_SECONDS))

    # --- wake and dismiss ---

    def look(self, name: str) -> None:
        """Have a live actor compare its tenant with reality now."""
        tenant_id = self.tenant(name)["tenant_id"]
        if tenant_id is None:
            raise LookupError(f"the actor of {name!r} has no tenant yet")
        ray.get(self._find(tenant_actor(name)).wake.remote(tenant_id), timeout=ANSWER_SECONDS)

    def dismiss(self, name: str) -> None:
        """Ask a live actor to leave as soon as it is at rest. Its tenant's compute stays."""
        ray.get(self._find(tenant_actor(name)).make_room.remote(), timeout=ANSWER_SECONDS)

    def drain(self, node: str | None = None, *, timeout: float = 300.0) -> list[LiveActor]:
        """Dismiss every live actor, or those on one node (the beginning of its id), and wait until they have left.
        Returns those that have not after `timeout` seconds: they are at work.

        A tenant that becomes due comes back. Before maintenance of the machine, `landlord drain` has this cluster
        begin nothing new.
        """
        end = time.monotonic() + timeout
        while True:
            left = [actor for actor in self.actors() if node is None or actor.node.startswith(node)]
            if not left or time.monotonic() > end:
                return left
            for actor in left:
                try:
                    self.dismiss(actor.name)
                except (LookupError, RayError):
                    continue  # it left, or does not answer: the next look says
            time.sleep(POLL_SECONDS)

    def shared(self, provider: str, verb: str, *arguments: Any) -> Any:
        """Call a method of the state that a provider keeps in memory: `shared("fake", "lose", instance_id)`."""
        return ray.get(self._find(shared_actor(provider)).call.remote(verb, *arguments), timeout=ANSWER_SECONDS)

    def _ask(self, actor: str) -> dict[str, Any]:
        return dict(ray.get(self._find(actor).describe.remote(), timeout=ANSWER_SECONDS))

    @staticmethod
    def _answered(name: str, answer: Any) -> LiveActor | None:
        """None: it has left."""
        try:
            described: Mapping[str, Any] = ray.get(answer, timeout=0)
        except GetTimeoutError:
            return LiveActor(name, answers=False)
        except RayActorError:
            return None
        rows = described.get("rows") or {}
        return LiveActor(
            name,
            tenant_id=described["tenant_id"],
            status=rows.get("status", ""),
            generation=rows.get("generation", 0),
            observed_generation=rows.get("observed_generation", 0),
            execution=rows.get("active"),
            fence=rows.get("fence", 0),
            doing=described["doing"],
            age_seconds=described.get("age", 0.0),
            memory_bytes=described.get("memory", 0),
            node=described.get("node", ""),
            pid=described["pid"],
            build=described["build"],
        )

    @staticmethod
    def _find(actor: str) -> Any:
        try:
            return ray.get_actor(actor, namespace=NAMESPACE)
        except ValueError:
            raise LookupError(f"no actor {actor!r} lives in this cluster") from None
