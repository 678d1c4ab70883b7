"""An actor is found by its name, or nobody waits for a head that is lost."""

import threading
import time
from typing import Any

import pytest

from actors import names
from actors.names import Names
from controlplane.errors import Unavailable


class Head:
    """In place of Ray's: answers once it is back."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.back = threading.Event()
        self.asked: list[str] = []
        patch.setattr("ray.get_actor", self.get)
        patch.setattr(names, "ANSWER_SECONDS", 0.2)

    def get(self, name: str, namespace: str) -> Any:
        self.asked.append(name)
        assert self.back.wait(30)
        if name == "nobody":
            raise ValueError(name)
        return f"handle of {name}"


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Head:
    return Head(monkeypatch)


async def test_it_is_found_or_there_is_none(head: Head) -> None:
    head.back.set()
    assert await Names().find("tenant:acme") == "handle of tenant:acme"
    assert await Names().find("nobody") is None


async def test_nobody_waits_for_a_head_that_is_lost(head: Head) -> None:
    known = Names()
    try:
        with pytest.raises(Unavailable, match="the head of the cluster does not answer"):
            await known.find("tenant:acme")
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await known.find("tenant:other")
        assert time.monotonic() - began < names.ANSWER_SECONDS, "one question waits already"
        assert head.asked == ["tenant:acme"]
    finally:
        head.back.set()
    waiting = known._waiting
    assert waiting is not None
    waiting.result(30)
    assert await known.find("tenant:other") == "handle of tenant:other"
