"""HTTP as clients speak it: HEAD, OPTIONS, unknown parameters, selectors."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.api_replica import Api, api_on, served


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api, served(api) as api.client:
        await api.beat()
        await api.create("one", labels={"tier": "gold", "env": "prod"})
        await api.create("two", labels={"tier": "silver"})
        yield api


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/v1/openapi.json", "/docs", "/v1/tenants", "/v1/tenants/one", "/v1/tenants/none", "/v1/x"],
)
async def test_head_is_the_get_without_its_body(api: Api, path: str) -> None:
    get, head = await api.client.get(path), await api.client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    varying = {"date", "x-request-id"} | ({"content-length"} if path == "/readyz" else set())
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }


async def test_head_of_a_tenant_has_its_etag_and_wants_its_token(api: Api) -> None:
    assert (await api.client.head("/v1/tenants/one")).headers["etag"] == '"1"'
    refused = await api.client.head("/v1/tenants/one", headers={"Authorization": ""})
    assert (refused.status_code, refused.content) == (401, b"")


async def test_head_of_a_stream_ends_with_its_headers(api: Api) -> None:
    head = await api.client.head("/v1/watch", timeout=5)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_head_where_no_get_is(api: Api) -> None:
    refused = await api.client.head("/v1/tenants/one/retry")
    assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS, POST")


async def test_options_names_the_methods(api: Api) -> None:
    for path, allow in (
        ("/v1/tenants", "GET, HEAD, OPTIONS, POST"),
        ("/v1/tenants/one", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/v1/tenants/one/retry", "OPTIONS, POST"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ):
        answer = await api.client.options(path, headers={"Authorization": ""})
        assert (answer.status_code, answer.headers["allow"]) == (204, allow)
    assert (await api.client.options("/v1/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/tenants?nope=1", "nope"),
        ("/v1/tenants?sort=name", "sort"),
        ("/v1/tenants?fields=name&limit=1", "fields"),
        ("/v1/tenants/one?watch=true", "watch"),
        ("/v1/events?labels=x", "labels"),
    ],
)
async def test_a_parameter_that_is_not_there_is_refused(api: Api, path: str, name: str) -> None:
    answer = await api.client.get(path)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "validation_failed"), problem
    assert problem["errors"][0]["loc"] == name
    assert "limit" in problem["detail"] or "none" in problem["detail"]
    assert (await api.client.get(path, headers={"Authorization": ""})).status_code == 401


async def test_a_change_with_a_parameter_that_is_not_there_changes_nothing(api: Api) -> None:
    answer = await api.client.delete("/v1/tenants/one?dryrun=true")
    assert answer.status_code == 400
    assert "dry_run" in answer.json()["detail"]
    assert (await api.client.get("/v1/tenants/one")).json()["status"] == "requested"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("tier=gold,env=prod", ["one"]),
        ("tier==gold", ["one"]),
        ("tier!=gold", ["two"]),
        ("tier", ["one", "two"]),
        ("!env", ["two"]),
        ("env", ["one"]),
        ("tier in (gold,silver),env notin (test)", ["one", "two"]),
        ("env notin (prod)", ["two"]),
        ("tier in (bronze)", []),
    ],
)
async def test_a_selector_finds_what_it_matches(api: Api, query: str, names: list[str]) -> None:
    found = (await api.client.get("/v1/tenants", params={"label": query})).json()["items"]
    assert [tenant["name"] for tenant in found] == names


async def test_selectors_add_up_and_a_wrong_one_is_refused(api: Api) -> None:
    both = await api.client.get("/v1/tenants", params={"label": ["tier=gold", "tier=silver"]})
    assert both.json()["items"] == []
    wrong = await api.client.get("/v1/tenants", params={"label": "tier>5"})
    problem = wrong.json()
    assert (wrong.status_code, problem["errors"][0]["loc"]) == (400, "label")
    assert "key in (a,b)" in problem["errors"][0]["message"]
