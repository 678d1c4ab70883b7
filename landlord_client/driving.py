"""What both clients share: how to connect, how an answer is made of httpx's, and how an operation becomes a method."""

import inspect
import ssl
from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, Generic, TypeVar

import httpx

from landlord_client.address import in_clear
from landlord_client.errors import ConnectionLost, InsecureAddress, LandlordClientError, Unreachable
from landlord_client.exchange import Answer, Effect, Item, Request

T = TypeVar("T")
SILENCE_SECONDS = 30.0
"""A watch that is silent for this time is broken: the server sends a heartbeat every 10 s."""


class Connection:
    """Where a client goes, and how."""

    def __init__(self, url: str, token: str, *, timeout: float, verify: ssl.SSLContext | bool) -> None:
        self.url = url.rstrip("/")
        if in_clear(self.url):
            raise InsecureAddress(f"{self.url} is not https and not on this machine; the token would go there in clear")
        self._timeout = timeout
        self.options: dict[str, Any] = {
            "base_url": self.url,
            "headers": {"Authorization": f"Bearer {token}", "Accept": "application/json"},
            "timeout": timeout,
            "verify": verify,
            # No proxy from the environment: it could not reach the loopback address of most control planes.
            "trust_env": False,
        }

    def arguments(self, request: Request) -> dict[str, Any]:
        """Of httpx's `request`."""
        return {
            "method": request.method,
            "url": request.path,
            "json": request.body,
            "params": request.query,
            "headers": request.headers,
            "timeout": self._timeout + request.patience,
        }

    def stream_arguments(self, request: Request) -> dict[str, Any]:
        """Of httpx's `stream`."""
        return self.arguments(request) | {"timeout": httpx.Timeout(self._timeout, read=SILENCE_SECONDS)}

    def answer(self, response: httpx.Response, *, text: bool = True) -> Answer:
        """`text` False: the body is a stream."""
        return Answer(response.status_code, response.headers, response.text if text else "", self.url)

    def error(self, error: httpx.RequestError) -> LandlordClientError:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return Unreachable(
                f"{self.url} is not to be trusted: {error}; --ca or LANDLORD_CA (in Python `verify`) names who vouches "
                "for it"
            )
        kind = Unreachable if isinstance(error, httpx.ConnectError) else ConnectionLost
        return kind(f"no control plane answers at {self.url}; is it running? `landlord up`")


class Progress(Generic[T]):
    """An operation or a stream on its way. Whoever drives it puts what the world gave into `given` or `raised`."""

    result: Any = None

    def __init__(self, steps: Generator[Effect | Item[T], Any, Any]) -> None:
        self._steps = steps
        self.given: Any = None
        self.raised: LandlordClientError | None = None

    def effect(self) -> Effect | Item[T] | None:
        """What it needs next, or an item for its caller. None: it has ended with `result`."""
        given, raised = self.given, self.raised
        self.given, self.raised = None, None
        try:
            return self._steps.send(given) if raised is None else self._steps.throw(raised)
        except StopIteration as end:
            self.result = end.value
            return None


def as_method(operation: Callable[..., Any], method: Callable[..., Any]) -> None:
    """Give a method the name, text and signature of its operation."""
    wraps(operation)(method)
    # `inspect` would take the operation's own signature, in which there is no self.
    del method.__wrapped__  # type: ignore[attr-defined]
    there = inspect.signature(operation)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = there.replace(  # type: ignore[attr-defined]
        parameters=[own, *there.parameters.values()], return_annotation=inspect.Signature.empty
    )
