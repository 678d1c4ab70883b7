"""A shortcut answers as the ordinary way would: it is only less work."""

from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio
from fastapi import Request
from starlette.responses import Response
from starlette.routing import Match

from controlplane.api import cursors
from controlplane.api.shortcuts import Shortcut, Shortcuts, shortcuts
from tests.integration.api_replica import Api, api_on

NEXT = cursors.encode("tenants", "one")
PLAIN = [
    "/healthz",
    "/healthz?x=1",
    "/v1/tenants",
    "/v1/tenants?limit=1",
    "/v1/tenants?limit=007",
    f"/v1/tenants?cursor={NEXT}",
    f"/v1/tenants?limit=500&cursor={NEXT}",
    "/v1/tenants?limit=1&limit=2",
    "/v1/tenants?cursor=",
    "/v1/tenants?cursor=nonsense",
    "/v1/tenants/one",
    "/v1/tenants/%6Fne",
    "/v1/tenants/gone",
    "/v1/tenants/nobody",
    "/v1/tenants/No%20name",
    "/v1/tenants/one%0A",
]
OTHERS = [
    "/v1/tenants?limit=0",
    "/v1/tenants?limit=501",
    "/v1/tenants?limit=%2B5",
    "/v1/tenants?limit=",
    "/v1/tenants?limit=²",
    "/v1/tenants?limit=1&cursor=a&cursor=b",
    f"/v1/tenants?cursor={'a' * 513}",
    "/v1/tenants?status=ready",
    "/v1/tenants?label=a%3Db",
    "/v1/tenants?surprise=1",
    "/v1/tenants/",
    "/v1/tenants/one?x=1",
    "/v1/tenants/one/events",
    "/v1//tenants/one",
]


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        for name in ("one", "two", "three", "gone"):
            await api.create(name, labels={"a": "b"})
        await api.client.delete("/v1/tenants/gone?force=true")
        yield api


async def answers(api: Api, *headers: dict[str, str]) -> list[object]:
    """All of them, by GET and HEAD and as each caller; without what differs from one time to the next."""
    found: list[object] = []
    for sent in headers:
        for target in PLAIN + OTHERS:
            for method in ("GET", "HEAD", "OPTIONS"):
                answer = await api.client.request(method, target, headers={"X-Request-ID": "one", **sent})
                found.append((method, target, answer.status_code, answer.headers, answer.text))
    return found


async def test_both_ways_answer_the_same(api: Api) -> None:
    callers: list[dict[str, str]] = [{}, await api.bearer("viewer"), {"Authorization": "Bearer nobody"}]
    short = await answers(api, *callers)
    counted = dict(api.app.state.requests.read())
    api.app.router.routes[:] = [one for one in api.app.router.routes if not isinstance(one, Shortcut)]
    layer(api).clear()
    assert await answers(api, *callers) == short
    once = {name: after - counted.get(name, 0) for name, after in api.app.state.requests.read().items()}
    created = counted.keys() & {("/v1/tenants", "POST", "2xx"), ("/v1/tenants/{name}", "DELETE", "2xx")}
    assert once == {name: 0 if name in created else number for name, number in counted.items()}


async def test_a_request_with_a_body_takes_the_ordinary_way(api: Api) -> None:
    """Its layers bound the body."""
    layer(api)[:] = [Broken(one) for one in layer(api)]
    answer = await api.client.request("GET", "/v1/tenants/one", content=b"x")
    assert (answer.status_code, answer.json()["name"]) == (200, "one")
    large = await api.client.request("GET", "/v1/tenants/one", content=b"x" * 300_000)
    assert large.json()["code"] == "payload_too_large"


async def test_an_error_that_nobody_knows_tells_nothing(api: Api) -> None:
    layer(api)[:] = [Broken(one) for one in layer(api)]
    answer = await api.client.get("/v1/tenants/one")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "broken" not in answer.text


class Broken(Shortcut):
    """Knows the same requests as another one, and fails."""

    def __init__(self, other: Shortcut) -> None:
        vars(self).update(vars(other))

    async def answer(self, request: Request) -> Response:
        raise RuntimeError("broken")


def layer(api: Api) -> list[Shortcut]:
    """The shortcuts of the outer layer."""
    found = next(one for one in api.app.user_middleware if one.cls is Shortcuts)  # type: ignore[comparison-overlap]
    return cast(list[Shortcut], found.kwargs["shortcuts"])


@pytest.mark.parametrize("target", PLAIN)
def test_plain_forms_take_a_shortcut(target: str) -> None:
    assert taken("GET", target)
    assert not taken("POST", target)


@pytest.mark.parametrize("target", OTHERS)
def test_other_forms_take_none(target: str) -> None:
    assert not taken("GET", target)


def taken(method: str, target: str) -> bool:
    path, _, query = target.partition("?")
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
    return any(one.matches(scope)[0] is Match.FULL for one in shortcuts())
