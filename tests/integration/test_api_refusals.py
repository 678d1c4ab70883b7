"""What is refused, and how: the right problem, and no row and no wake-up behind it."""

import asyncio
import json
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from controlplane.api import readiness, strangers
from controlplane.api.middleware.body_limit import MAX_BODY
from controlplane.local.logs import Json
from controlplane.ports import ProviderHealth
from tests.integration.api_replica import Api, api_on, served, tenant


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


async def untouched(api: Api) -> bool:
    return await api.count("tenants") == await api.count("events") == 0 and not api.directory.woken


def spec(**values: Any) -> dict[str, Any]:
    return {"compute": {"provider": "cloud", "config": {"image": "web:1"}}, **values}


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, "name"),
        (tenant("Bad_Name"), "name"),
        (tenant("a" * 41), "name"),
        (tenant("0190c8c6-0000-7000-8000-000000000000"), "name"),
        (tenant("a190c8c6-0000-7000-8000-000000000000"), "name"),
        (tenant(extra=1), "extra"),
        (tenant(labels={"tier": 5}), "labels.tier"),
        (tenant(labels={"bad key": "x"}), "labels.bad key.[key]"),
        (tenant(spec={"compute": {"config": {}}}), "spec.compute.provider"),
        (tenant(spec=spec(heal="maybe")), "spec.heal"),
        (tenant(spec=spec(surprise=True)), "spec.surprise"),
        (tenant(spec=spec(health={"interval_seconds": "10"})), "spec.health.interval_seconds"),
        (tenant(spec=spec(health={"interval_seconds": 0.4})), "spec.health.interval_seconds"),
        (tenant(spec=spec(health={"deadline_seconds": 3601})), "spec.health.deadline_seconds"),
        (tenant(labels={f"k{i}": "" for i in range(65)}), "labels"),
        (tenant(labels={"k": "v" * 257}), "labels.k"),
        (tenant(annotations={"k": "v" * 16385}), "annotations.k"),
        (tenant(spec=spec(extra=["a"] * 1025)), "spec.extra"),
        (tenant(spec=spec(health={"http": {}, "tcp": {}})), "spec.health"),
        (tenant(spec=spec(health={"http": {}, "exec": {"command": ["true"]}})), "spec.health"),
        (tenant(spec=spec(health={"exec": {"command": ["true"]}})), "spec.health.exec"),
        (tenant(spec={"compute": {"provider": "cloud", "config": {"image": 7}}}), "spec.compute.config.image"),
        (tenant(spec={"compute": {"provider": "cloud", "config": {}}}), "spec.compute.config.image"),
    ],
)
async def test_a_body_that_is_not_valid(api: Api, body: dict[str, Any], loc: str) -> None:
    answer = await api.client.post("/v1/tenants", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "validation_failed"), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert loc in [error["loc"] for error in problem["errors"]], problem
    assert await untouched(api)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b'"text"',
        b'{"name": "acme", "name": "acme"}',
        b'{"name": "\\u0000"}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b'{"name": NaN}',
        b'{"name": 1e999}',
        b'{"name": ' + b"9" * 5000 + b"}",
        b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 200_000,
    ],
)
async def test_a_body_that_is_no_good_json(api: Api, body: bytes) -> None:
    answer = await api.client.post("/v1/tenants", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert await untouched(api)


async def test_providers_that_are_not_enabled(api: Api) -> None:
    compute = await api.client.post("/v1/tenants", json=tenant(spec={"compute": {"provider": "moon", "config": {}}}))
    assert (compute.status_code, compute.json()["code"]) == (422, "provider_not_enabled")
    assert compute.json()["enabled"] == ["cloud", "process"]
    workflow = await api.client.post("/v1/tenants", json=tenant(spec=spec(workflow={"provider": "moon"})))
    assert (workflow.status_code, workflow.json()["enabled"]) == (422, ["embedded", "restate"])
    assert await untouched(api)


async def test_a_media_type_that_is_not_json(api: Api) -> None:
    answer = await api.client.post("/v1/tenants", content=b"a=b", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    merge = {"Content-Type": "application/merge-patch+json"}
    answer = await api.client.post("/v1/tenants", content=json.dumps(tenant()), headers=merge)
    assert answer.status_code == 415


async def test_bodies_over_the_limit_over_real_http(api: Api) -> None:
    large = json.dumps(tenant(annotations={"a": "x" * MAX_BODY})).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 8192):
            yield large[start : start + 8192]

    async with served(api) as client:
        headers = {"Content-Type": "application/json"}
        for content in (large, chunks()):
            answer = await client.post("/v1/tenants", content=content, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert await untouched(api)
        exact = json.dumps(tenant()).encode().ljust(MAX_BODY)
        assert (await client.post("/v1/tenants", content=exact, headers=headers)).status_code == 202


async def test_versions(api: Api) -> None:
    for path in ("/", "/tenants", "/tenants/acme"):
        problem = (await api.client.get(path)).json()
        assert (problem["code"], problem["status"], problem["supported"]) == ("version_required", 404, ["v1"])
    problem = (await api.client.get("/v2/tenants")).json()
    assert (problem["code"], problem["status"], problem["supported"]) == ("unsupported_version", 404, ["v1"])
    for path in ("/v1", "/v1/nothing", "/v1/tenants/"):
        assert (await api.client.get(path)).json()["code"] == "not_found"
    wrong = await api.client.put("/v1/tenants/acme", json={})
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"


async def test_parameters(api: Api) -> None:
    for query in (
        "limit=0",
        "limit=501",
        "limit=x",
        "status=happy",
        "label=x>5",
        "cursor=%00",
        "cursor=AAAA",
        "cursor=é",
    ):
        answer = await api.client.get(f"/v1/tenants?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed"), query
        assert answer.json()["errors"][0]["loc"].startswith(query.split("=")[0])


async def test_process_tenants_take_a_role_of_their_own(database_url: str) -> None:
    process = tenant(spec={"compute": {"provider": "process", "config": {"command": ["serve"]}}})
    async with api_on(database_url) as api:
        operator = await api.bearer("operator")
        assert (await api.client.post("/v1/tenants", json=process, headers=operator)).status_code == 403
        assert (await api.client.post("/v1/tenants", json=process)).status_code == 202
        labels = await api.client.patch("/v1/tenants/acme", json={"labels": {"a": "b"}}, headers=operator)
        assert labels.status_code == 200
        patch = {"spec": {"compute": {"config": {"command": ["other"]}}}}
        assert (await api.client.patch("/v1/tenants/acme", json=patch, headers=operator)).status_code == 403
    async with api_on(database_url, process_role="operator") as api:
        api.secrets["operator"] = operator["Authorization"].removeprefix("Bearer ")
        process["name"] = "other"
        answer = await api.client.post("/v1/tenants", json=process, headers=await api.bearer("operator"))
        assert answer.status_code == 202


async def test_request_ids(api: Api) -> None:
    mine = await api.client.get("/v1/tenants/none", headers={"X-Request-ID": "trace-1"})
    assert mine.headers["x-request-id"] == mine.json()["request_id"] == "trace-1"
    minted = await api.client.get("/v1/tenants/none", headers={"X-Request-ID": "bad id\t"})
    assert minted.headers["x-request-id"] == minted.json()["request_id"] != "bad id\t"
    await api.client.post("/v1/tenants", json=tenant(), headers={"X-Request-ID": "trace-2"})
    event = (await api.client.get("/v1/events")).json()["items"][0]
    assert (event["request_id"], event["actor"]) == ("trace-2", "admin")


async def test_the_unexpected_says_nothing(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api.database.begin() as connection:
        await connection.execute(text("ALTER TABLE tenants RENAME COLUMN spec TO spec_was"))
    for answer in (await api.client.get("/v1/tenants"), await api.create()):
        assert answer.status_code == 500
        assert answer.json()["code"] == "internal_error"
        assert "spec" not in answer.text
        assert "SELECT" not in answer.text

    def explode(*_: object) -> None:
        raise RuntimeError("secret-of-the-house")

    async with api.database.begin() as connection:
        await connection.execute(text("ALTER TABLE tenants RENAME COLUMN spec_was TO spec"))
    monkeypatch.setattr(api.cloud, "validate", explode)
    answer = await api.create()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret-of-the-house" not in answer.text
    assert "secret-of-the-house" in caplog.text


async def test_no_database_is_503(api: Api, postgres: str, database_url: str) -> None:
    await api.beat()
    name = make_url(database_url).database
    outside = create_async_engine(postgres, isolation_level="AUTOCOMMIT")
    async with outside.connect() as connection:
        await connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
        others = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
        await connection.execute(others, {"name": name})
    await outside.dispose()
    answer = await api.client.get("/v1/tenants/acme")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    ready = await api.client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"]["ok"] is False
    assert (await api.client.get("/healthz")).status_code == 200


async def test_readiness(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "SECONDS", 0.0)
    monkeypatch.setattr(readiness, "PROVIDER_SECONDS", 0.0)
    api.app.state.looks = readiness.Looks(api.replica)
    not_yet = await api.client.get("/readyz")
    assert (not_yet.status_code, not_yet.json()["code"]) == (503, "not_ready")
    assert "supervisor" in not_yet.json()["detail"]
    assert not_yet.json()["checks"]["database"]["ok"] is True
    await api.beat(cluster_id="another one, which is well")
    another = (await api.client.get("/readyz")).json()["checks"]["supervisor"]
    assert another == {"ok": False, "detail": "it has not reported yet"}
    await api.beat()
    ready = await api.client.get("/readyz", headers={"Authorization": ""})
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    api.cloud.state = ProviderHealth(False, "the sky is closed")
    stranger = (await api.client.get("/readyz", headers={"Authorization": ""})).json()
    assert (stranger["ready"], stranger["providers"]["cloud"]) == (True, {"ok": False, "detail": ""})
    unknown = await api.client.get("/readyz", headers={"Authorization": "Bearer nobody-knows-it"})
    assert (unknown.status_code, unknown.json()["providers"]) == (200, stranger["providers"])
    informed = (await api.client.get("/readyz")).json()
    assert (informed["ready"], informed["providers"]["cloud"]) == (True, {"ok": False, "detail": "the sky is closed"})
    api.directory.ray = ProviderHealth(False, "no head answers")
    assert "no head answers" in (await api.client.get("/readyz")).json()["detail"]
    api.directory.ray = ProviderHealth(True)
    await api.beat(seconds_ago=46)
    assert (await api.client.get("/readyz")).json()["checks"]["supervisor"]["ok"] is False


async def test_readiness_is_looked_for_once_a_second_and_waits_for_no_platform(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask, and whether they have a token."""
    looked = Counter[str]()
    closed = asyncio.Event()

    async def ray() -> ProviderHealth:
        looked["ray"] += 1
        return ProviderHealth(True)

    async def silent() -> ProviderHealth:
        looked["cloud"] += 1
        await closed.wait()
        return ProviderHealth(True)

    monkeypatch.setattr(api.directory, "ray_health", ray)
    monkeypatch.setattr(api.cloud, "health", silent)
    monkeypatch.setattr(readiness, "SECONDS", 30.0)
    monkeypatch.setattr(readiness, "PROVIDER_SECONDS", 30.0)
    api.app.state.looks = readiness.Looks(api.replica)
    await api.beat()
    began = time.monotonic()
    answers = await asyncio.gather(*(api.client.get("/readyz") for _ in range(50)))
    assert time.monotonic() - began < readiness.PROVIDER_PATIENCE + 1.5
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json()["providers"]["cloud"] == {"ok": False, "detail": "no answer yet"}
    assert looked == {"ray": 1, "cloud": 1}
    closed.set()


async def test_the_log_says_who_asked_for_what_and_why_it_was_refused_and_no_secret(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    viewer = await api.bearer("viewer")
    caplog.set_level(logging.INFO, "landlord.access")
    asked = [
        await api.client.get("/v1/tenants"),
        await api.client.get("/v1/tenants", headers={"Authorization": "Bearer a-wrong-secret"}),
        await api.client.get("/v1/tenants", headers={"Authorization": ""}),
        await api.client.delete("/v1/tenants/acme", headers={**viewer, "X-Forwarded-For": "6.6.6.6, 10.1.2.3"}),
        await api.client.get("/v1/tenants/x%0a%7b%22status%22:200%7d%1b[31m?dry_run=password%3Dhush"),
    ]
    lines = [json.loads(Json("api").format(record)) for record in caplog.records if record.name == "landlord.access"]
    said = [(line["status"], line.get("token"), line.get("role"), line.get("refused")) for line in lines]
    assert said == [
        (200, "admin", "admin", None),
        (401, None, None, "unknown token"),
        (401, None, None, "no token"),
        (403, "the-viewer", "viewer", "forbidden"),
        (400, "admin", "admin", None),
    ]
    assert [line["request_id"] for line in lines] == [answer.headers["X-Request-ID"] for answer in asked]
    assert [line["level"] for line in lines] == ["info", "warning", "warning", "warning", "info"]
    assert [line["client"] for line in lines] == ["127.0.0.1", "127.0.0.1", "127.0.0.1", "10.1.2.3", "127.0.0.1"]
    assert UUID(lines[3]["token_id"])
    assert lines[4]["path"] == "/v1/tenants/x%0a%7b%22status%22:200%7d%1b[31m"
    for secret in ("a-wrong-secret", "hush", viewer["Authorization"].split()[1]):
        assert secret not in caplog.text


async def test_many_requests_without_a_valid_token_are_slowed_and_take_no_more_of_the_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "landlord.access")
    elsewhere = {"X-Forwarded-For": "10.9.9.9"}

    async def knock(number: int) -> httpx.Response:
        wrong = {"Authorization": f"Bearer wrong-{number % 7}"}
        return await api.client.get("/v1/tenants", headers={**elsewhere, **wrong})

    found = [await knock(number) for number in range(strangers.AT_ONCE + 300)]
    codes = Counter(answer.status_code for answer in found)
    assert codes[401] >= strangers.AT_ONCE
    assert codes[429] > 100
    assert found[-1].json()["code"] == "rate_limited"
    assert int(found[-1].headers["Retry-After"]) >= 1
    assert sum(record.name == "landlord.access" for record in caplog.records) < len(found) - 100
    # A valid token from there is let through, and another address is counted by itself.
    assert (await api.client.get("/v1/tenants", headers=elsewhere)).status_code == 200
    other = await api.client.get("/v1/tenants", headers={"Authorization": "Bearer wrong-1"})
    assert other.status_code == 401


async def test_rate_limits(database_url: str) -> None:
    async with api_on(database_url, rate_limit_per_minute=12) as api:
        answers = [await api.client.get("/v1/tenants/none") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [404, 404, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
        assert answers[2].json()["code"] == "rate_limited"
        assert 0 < int(answers[2].headers["retry-after"]) <= 5
        assert (await api.client.get("/healthz")).status_code == 200


async def test_security_headers(api: Api) -> None:
    for path in ("/v1/tenants", "/v1/nothing"):
        headers = (await api.client.get(path, headers={"Origin": "https://elsewhere.example"})).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert not [name for name in headers if name.startswith("access-control")]


async def test_the_documentation_needs_nobody_else(api: Api) -> None:
    """Nothing on the page is from elsewhere, and its policy would not let it be."""
    page = await api.client.get("/docs", headers={"Authorization": ""})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    paths = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(paths) == 3
    assert not re.search(r"https?:|//", page.text)
    for path, kind in zip(paths, ("text/css", "text/javascript", "text/javascript"), strict=True):
        answer = await api.client.get(path, headers={"Authorization": ""})
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind), path
    assert '"/v1/openapi.json"' in answer.text
    wrong = await api.client.post("/v1/openapi.json")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]
