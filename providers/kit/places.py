"""A bounded number of threads for blocking calls, of which some may hang."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from controlplane.errors import Unavailable

Result = TypeVar("Result")


class Places:
    """Makes calls in at most `size` threads; further calls wait for a place.

    A call that hangs keeps its place until it returns, also once its caller has given it up. If all places are taken by
    such calls, calls are refused at once instead of waiting for ever.

    Its threads are daemons, made at need: the process can end while one hangs. Python waits for the threads of a
    ThreadPoolExecutor at its end, so that is not used here. Can be used from any thread."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = 0
        self._given_up: dict[Future[Any], float] = {}
        self._closed = False

    @property
    def given_up(self) -> int:
        """The number of calls that hang and for which no caller waits any more."""
        return len(self._given_up)

    def begin(self, call: Callable[[], Result]) -> "Future[Result]":
        """The call's result, later. Raises Unavailable if all places hang, or after `close`."""
        future: Future[Result] = Future()
        with self._lock:
            if self._closed:
                raise Unavailable(f"{self._name} is closed")
            if stuck := self._stuck():
                raise stuck
            self._waiting.append((future, call))
            if self._threads < self._size:
                self._hire()
        return future

    def give_up(self, future: "Future[Any]") -> None:
        """No caller waits for this result. If the call has begun, it keeps its place until it returns."""
        if future.cancel():
            return
        with self._lock:
            if future.done():
                return
            self._given_up[future] = time.monotonic()
            stuck = self._stuck()
            refused = self._dropped() if stuck else []
        future.add_done_callback(self._is_back)
        for waiting in refused:
            waiting.set_exception(stuck)

    def close(self) -> None:
        """Accepts no new calls and refuses the waiting ones. Calls under way end by themselves."""
        with self._lock:
            self._closed = True
            refused = self._dropped()
        for waiting in refused:
            waiting.set_exception(Unavailable(f"{self._name} is closed"))

    def _stuck(self) -> Unavailable | None:
        """The refusal if all places hang. Under the lock."""
        if len(self._given_up) < self._size:
            return None
        seconds = time.monotonic() - min(self._given_up.values())
        return Unavailable(f"{self._name} does not answer: {self._size} calls hang, the first for {seconds:.0f} s")

    def _dropped(self) -> list[Future[Any]]:
        """The calls that wait for a place, and now get none. Under the lock."""
        dropped = [future for future, _ in self._waiting if future.set_running_or_notify_cancel()]
        self._waiting.clear()
        return dropped

    def _is_back(self, future: "Future[Any]") -> None:
        with self._lock:
            self._given_up.pop(future, None)

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True)
        self._threads += 1
        try:
            thread.start()
        except RuntimeError:  # the system allows no more threads
            self._threads -= 1
            if self._threads == 0:
                self._waiting.pop()
                raise Unavailable(f"no thread can be started for {self._name}") from None

    def _work(self) -> None:
        """One thread: makes waiting calls until there is none."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                future, call = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                _make(call, future)
            del future, call  # else this thread would keep the last result


def _make(call: Callable[[], Any], future: "Future[Any]") -> None:
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
