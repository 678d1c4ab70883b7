"""Requests and answers without a connection. A retried request acts once, and a problem is raised as its own error.

An operation is a generator: it yields what it needs from the world (an answer to a request, a line of a stream, the
time, a pause) and returns its result. `Client` and `AsyncClient` drive the same generators, so what an operation does
is written once.
"""

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import quote
from uuid import uuid4

from pydantic import ValidationError

from landlord_client.errors import (
    ConnectionLost,
    IdempotencyInProgress,
    LandlordClientError,
    Overloaded,
    Problem,
    RateLimited,
    Unreachable,
    problem_of,
)
from landlord_client.models import Document, Page

TRIES = 4
"""Tries of one request. Each carries the same Idempotency-Key, so the request acts only once."""
BETWEEN_TRIES_SECONDS = 0.3
"""The first pause; each further one is twice as long."""
LONGEST_PAUSE_SECONDS = 15.0
"""A server that asks for a longer pause is not waited for: the caller may have better things to do."""
MERGE_PATCH = "application/merge-patch+json"

T = TypeVar("T")
D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True)
class Request:
    """Yielded for an `Answer`. Raises Unreachable where it is yielded, or ConnectionLost if it may have acted."""

    method: str
    path: str
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any = None
    patience: float = 0.0
    """Seconds that its answer may take longer than usual."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """By lower-case names."""
    text: str
    url: str
    """The control plane's, for messages."""

    @property
    def success(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Listen:
    """Yielded for the `Answer` that begins a stream of lines: without a text if it is a success."""

    request: Request


@dataclass(frozen=True, slots=True)
class NextLine:
    """Yielded for the next line of the stream, or None at its end. Raises ConnectionLost where it is yielded."""


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Now:
    """Yielded for a number of seconds that only grows."""


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """Yielded by a stream for its caller."""

    value: T


Effect: TypeAlias = Request | Listen | NextLine | Sleep | Now
Operation: TypeAlias = Generator[Effect, Any, T]
Stream: TypeAlias = Generator[Effect | Item[T], Any, None]


def get(path: str, kind: type[D], *, patience: float = 0.0, **query: Any) -> Operation[D]:
    """A read. What is None or empty in `query` is left out."""
    return typed(kind, (yield from send(Request("GET", path, _said(query), {}, None, patience))))


def mutate(
    method: Literal["POST", "PATCH", "DELETE"],
    path: str,
    kind: type[D],
    body: Any = None,
    *,
    query: Mapping[str, Any] | None = None,
    if_match: int | None = None,
    wait: int | None = None,
    idempotency_key: str | None = None,
) -> Operation[D]:
    """A change of a tenant or an execution, under a key of its own if the caller has none."""
    headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
    if if_match is not None:
        headers["If-Match"] = f'"{if_match}"'
    if wait is not None:
        headers["Prefer"] = f"wait={wait}"
    if method == "PATCH":
        headers["Content-Type"] = MERGE_PATCH
    request = Request(method, path, _said(query or {}), headers, body, float(wait or 0))
    return typed(kind, (yield from send(request)))


def order(
    method: Literal["POST", "DELETE"],
    path: str,
    kind: type[D],
    body: Any = None,
    *,
    query: Mapping[str, str] | None = None,
    tries: int = TRIES,
) -> Operation[D]:
    """A change of the installation itself. These take no key: doing them twice is doing them once, or is refused."""
    return typed(kind, (yield from send(Request(method, path, query or {}, {}, body), tries)))


def paged(page_at: Callable[[str | None], Operation[Page[T]]]) -> Stream[T]:
    """The items of all pages, each fetched when it is needed. `page_at`: the page at a cursor, None for the first."""
    cursor = None
    while True:
        page = yield from page_at(cursor)
        for item in page.items:
            yield Item(item)
        cursor = page.next_cursor
        if cursor is None:
            return


def send(request: Request, tries: int = TRIES) -> Operation[Answer]:
    """The answer, be it a success or a problem. A connection that broke is tried again; one that was refused is not,
    for it would be refused again. A server that had no time for the request is asked again when it said."""
    broke = False
    for number in range(1, tries + 1):
        pause = BETWEEN_TRIES_SECONDS * 2 ** (number - 1)
        try:
            answer: Answer = yield request
        except ConnectionLost:
            if number == tries:
                raise
            broke = True
        else:
            problem = _problem(answer)
            # After a broken connection the first try may still be working under our key.
            working = broke and isinstance(problem, IdempotencyInProgress)
            turned_away = isinstance(problem, (RateLimited, Overloaded))
            if turned_away and problem is not None:
                pause = max(pause, problem.retry_after or 0.0)
            if number == tries or not (working or turned_away) or pause > LONGEST_PAUSE_SECONDS:
                return answer
        yield Sleep(pause)
    raise AssertionError("the last try returns or raises")


def typed(kind: type[D], answer: Answer) -> D:
    """The document of a success. Raises the problem of anything else, and Unreachable if it is no such document."""
    try:
        return kind.model_validate(read(answer))
    except ValidationError:
        raise Unreachable(_no_control_plane(answer)) from None


def read(answer: Answer) -> Any:
    """The JSON of a success. Raises the problem of anything else."""
    if not answer.success:
        refuse(answer)
    return _json(answer)


def refuse(answer: Answer) -> None:
    """Raise the problem of an answer that is no success."""
    raise problem_of(_json(answer), answer.status, _retry_after(answer))


def chosen(stream: Stream[T], wanted: Callable[[T], Operation[bool]]) -> Stream[T]:
    """The items of a stream that are wanted."""
    given: Any = None
    raised: LandlordClientError | None = None
    try:
        while True:
            try:
                effect = stream.send(given) if raised is None else stream.throw(raised)
            except StopIteration:
                return
            given, raised = None, None
            if isinstance(effect, Item):
                if (yield from wanted(effect.value)):
                    yield effect
                continue
            try:
                given = yield effect
            except LandlordClientError as error:
                raised = error
    finally:
        stream.close()


def quoted(segment: str) -> str:
    """The text quoted as one segment of a path."""
    return quote(segment, safe="")


def selectors(labels: Mapping[str, str] | None, selector: str | Iterable[str]) -> list[str]:
    given = [selector] if isinstance(selector, str) else list(selector)
    return [f"{key}={value}" for key, value in (labels or {}).items()] + given


def _said(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value not in (None, "", [], ())}


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.text)
    except ValueError:
        # Only a proxy in front of the application gives any other answer.
        raise Unreachable(_no_control_plane(answer)) from None


def _no_control_plane(answer: Answer) -> str:
    return f"{answer.url} answers {answer.status}, but not as a control plane"


def _problem(answer: Answer) -> Problem | None:
    if answer.success or "json" not in answer.headers.get("content-type", ""):
        return None
    try:
        return problem_of(_json(answer), answer.status, _retry_after(answer))
    except Unreachable:
        return None


def _retry_after(answer: Answer) -> float | None:
    try:
        return float(answer.headers["retry-after"])
    except (KeyError, ValueError):
        return None
