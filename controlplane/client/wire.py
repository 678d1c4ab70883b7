"""Requests and answers. A retried request acts once, a problem is `Refused`, no answer is `Unreachable`."""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Self
from urllib.parse import quote
from uuid import uuid4

import httpx

from controlplane.errors import Refused, SettingsError, Unavailable
from controlplane.local.front import pinned
from controlplane.local.paths import Home
from controlplane.settings import Settings, is_loopback

TRIES = 4
"""Tries of one request if the connection breaks. Each carries the same Idempotency-Key, so the request acts only
once."""
BETWEEN_TRIES_SECONDS = 0.3
SILENCE_SECONDS = 30.0
"""A watch that is silent for this time is broken: the server sends a heartbeat every 10 s."""
MERGE_PATCH = "application/merge-patch+json"


class Unreachable(Unavailable):
    """No control plane answers at the URL."""


class Wire:
    """The connection, and the sending of requests on it."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 30.0,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout`: seconds for one answer, on top of `wait`; `verify`: how to verify an https server, if not by the
        usual authorities. Tests inject the last three.

        Raises SettingsError if the token would cross a network in clear."""
        self.url = url.rstrip("/")
        if in_clear(self.url):
            raise SettingsError(
                f"LANDLORD_URL: {self.url} is not https and not on this machine; the token would go there in clear"
            )
        self._timeout = timeout
        self._sleep = sleep
        self._clock = clock
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        # No proxy from the environment: it could not reach the loopback address of most control planes.
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout, transport=transport, trust_env=False, verify=verify
        )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """A client for the URL of the settings. The token is LANDLORD_TOKEN, or else the one that `landlord up` left in
        the home.

        Raises Unreachable if there is neither.
        """
        verify = trusted(settings)
        if settings.token is not None:
            return cls(settings.base_url, settings.token.get_secret_value(), verify=verify)
        path = Home(settings.home).token
        try:
            token = path.read_text().strip()
        except OSError as error:
            raise Unreachable(
                f"no token: {path} cannot be read ({error.strerror}) and LANDLORD_TOKEN is not set; "
                "start the control plane with `landlord up`"
            ) from None
        return cls(settings.base_url, token, verify=verify)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def _mutate(
        self,
        method: Literal["POST", "PATCH", "DELETE"],
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        if_match: int | None = None,
        wait: int | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        if method == "PATCH":
            headers["Content-Type"] = MERGE_PATCH
        timeout = self._timeout + (wait or 0)
        return self._send(method, path, json=json, params=params, headers=headers, timeout=timeout)

    def _send(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        tries: int = TRIES,
    ) -> Any:
        answer = self._request(method, path, json=json, params=params, headers=headers, timeout=timeout, tries=tries)
        return self._read(answer)

    def _request(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        tries: int = TRIES,
    ) -> httpx.Response:
        query = {name: value for name, value in (params or {}).items() if value not in (None, "", [])}
        for number in range(1, tries + 1):
            try:
                answer = self._http.request(
                    method, path, json=json, params=query, headers=headers, timeout=timeout or self._timeout
                )
            except httpx.TransportError as error:
                # A refused connection will be refused again; a broken one is worth another try.
                if isinstance(error, httpx.ConnectError) or number == tries:
                    raise self._unreachable(error) from None
            else:
                # After a broken connection the first try may still be working on our key.
                if not (1 < number < tries and _code(answer) == "idempotency_in_progress"):
                    return answer
            self._sleep(BETWEEN_TRIES_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _lines(self, path: str, last: int | None) -> Iterator[str]:
        """The lines of an event stream, as they arrive."""
        headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": str(last)})
        timeout = httpx.Timeout(self._timeout, read=SILENCE_SECONDS)
        with self._http.stream("GET", path, headers=headers, timeout=timeout) as answer:
            if not answer.is_success:
                answer.read()
                self._read(answer)
            yield from answer.iter_lines()

    def _unreachable(self, error: Exception | None = None) -> Unreachable:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return Unreachable(
                f"{self.url} is not to be trusted: {error}; --ca or LANDLORD_CA names who vouches for it"
            )
        return Unreachable(f"no control plane answers at {self.url}; is it running? `landlord up`")

    def _read(self, answer: httpx.Response) -> Any:
        try:
            body = answer.json()
        except ValueError:
            # Only the proxy in front of the application gives any other answer.
            raise Unreachable(f"{self.url} answers {answer.status_code}, but not as a control plane") from None
        if answer.is_success:
            return body
        problem = body if isinstance(body, dict) else {}
        raise Refused(
            str(problem.get("detail") or problem.get("title") or f"HTTP {answer.status_code}"),
            code=str(problem.get("code", "unknown")),
            status=answer.status_code,
            request_id=problem.get("request_id"),
            errors=problem.get("errors") or [],
            retry_after=answer.headers.get("Retry-After"),
            problem=problem,
        )


def in_clear(url: str) -> bool:
    """True if others could read the traffic to this URL."""
    parts = httpx.URL(url)
    if parts.scheme == "https":
        return False
    return not is_loopback(url)


def trusted(settings: Settings) -> ssl.SSLContext | bool:
    """The way to verify the server of these settings. The home's own server is verified by the very certificate that
    `landlord up` gave it. Raises SettingsError if a file of certificates cannot be read."""
    if settings.url is None:
        return pinned(Home(settings.home).tls) if settings.tls else True
    if settings.ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca)
    except OSError as error:
        raise SettingsError(f"LANDLORD_CA: {settings.ca} cannot be read: {error.strerror or error}") from None


def quoted(segment: str) -> str:
    """The text quoted as one segment of a path."""
    return quote(segment, safe="")


def _code(answer: httpx.Response) -> str | None:
    if answer.is_success or "json" not in answer.headers.get("Content-Type", ""):
        return None
    body = answer.json()
    return str(body.get("code")) if isinstance(body, dict) else None
