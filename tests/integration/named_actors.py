"""Named actors without Ray: what the directory and the supervisor find and call, in this process."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import RayActorError

from actors.tenant.actor import LEAVING


class Handle:
    """Calls an object's coroutines the way Ray's handles do: `handle.method.remote(…)`."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and self._actor is other._actor

    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, method: str) -> "Method":
        return Method(getattr(self._actor, method))


class Method:
    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def remote(self, *arguments: Any) -> Any:
        return asyncio.ensure_future(self._call(*arguments))


class NamedActors:
    """Name → actor, in place of Ray's for those modules that were imported by then."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.live: dict[str, Any] = {}
        patch.setattr("ray.get_actor", self.get)

    def get(self, name: str, namespace: str) -> Handle:
        try:
            return Handle(self.live[name])
        except KeyError:
            raise ValueError(f"Failed to look up actor with name {name!r}") from None


class Tenant:
    """A tenant's actor from outside. `goes`: how it meets the first call: it says goodbye, or is dead."""

    def __init__(self, goes: str | None = None, gone: Callable[[], object] = lambda: None) -> None:
        self._goes = goes
        self._gone = gone
        self._left = asyncio.Event()
        self.at_rest = False
        self.woken = self.told = 0

    async def ping(self) -> str:
        return "pong"

    async def pressure(self) -> None:
        return None

    async def describe(self) -> dict[str, Any]:
        return {"build": "test"}

    async def wake(self, tenant_id: str, execution_id: str | None, seconds: float | None) -> dict[str, str]:
        self.woken += 1
        if self._goes is not None:
            self._gone()
        if self._goes == "dead":
            raise RayActorError
        return {"outcome": self._goes or "started", "message": ""}

    async def make_room(self) -> None:
        if self._left.is_set():
            raise RayActorError
        self.told += 1
        self._leave_at_rest()

    async def until_leaving(self) -> dict[str, str]:
        await self._left.wait()
        return {"reason": "passivated"}

    def rest(self) -> None:
        """Its work is done: it leaves where it was told to."""
        self.at_rest = True
        self._leave_at_rest()

    def leave(self) -> None:
        """It says that it leaves. Its process has not ended, so it still has its name."""
        self._goes = LEAVING
        self._left.set()

    def end(self) -> None:
        self._gone()

    def _leave_at_rest(self) -> None:
        if self.at_rest and self.told:
            self.end()
            self.leave()
