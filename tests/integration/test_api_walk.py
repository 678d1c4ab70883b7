"""The whole API, walked from its own document with every kind of token that does not open it.

A new route is in the document, so it is in here: without a role, or beyond the reach of a token, it fails.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from fastapi.routing import APIRoute
from sqlalchemy import text

from controlplane.api.app import ROUTERS
from tests.integration.api_replica import ADMIN, Api, api_on, tenant

BODIES = {
    "create_tenant": tenant("acme", labels={"tier": "silver"}),
    "update_tenant": {"labels": {"a": "b"}},
    "exec_in_tenant": {"command": ["true"]},
}
"""Bodies that would change something if they got through."""
OF_NO_TENANT = {"/v1/providers", "/v1/providers/compute/{name}/schema"}
"""Paths that are about no tenant: they are the same for every token."""


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


async def test_every_route_wants_a_token_of_its_role(api: Api) -> None:
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    document = (await api.client.get("/v1/openapi.json", headers={"Authorization": ""})).json()
    roles = ["viewer", "operator", "admin"]
    revoked, expired = [
        (await api.client.post("/v1/tokens", json={"name": name, "role": "admin", **expiry})).json()["token"]
        for name, expiry in (("revoked", {}), ("expired", {"expires_in_seconds": 60}))
    ]
    async with api.database.begin() as connection:
        past = "expires_at = clock_timestamp() - interval '1 second'"
        await connection.execute(text(f"UPDATE tokens SET {past} WHERE name = 'expired'"))
    await api.client.delete("/v1/tokens/revoked")
    wrong = ["", "Basic YTpi", "Bearer", "Bearer wrong", f"Bearer {ADMIN}x", f"bearer  {'x' * 9000}", "Bearer \x00"]
    wrong += [f"Bearer {revoked}", f"Bearer {expired}", f"Basic {ADMIN}", ADMIN]
    seen = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            seen += 1
            role = operation.get("x-required-role")
            url = path.replace("{name}", "nobody").replace("{id}", "nobody")
            if role is None:
                assert path in ("/healthz", "/readyz")
                continue
            for header in wrong:
                refused = await api.client.request(method, url, headers={"Authorization": header})
                assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized"), (method, path, header)
                assert refused.headers["www-authenticate"] == "Bearer"
            for other in roles[: roles.index(role)]:
                refused = await api.client.request(method, url, headers=await api.bearer(other))
                assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), (method, path, other)
            if not path.endswith("/watch"):
                allowed = await api.client.request(method, url, headers=await api.bearer(role))
                assert allowed.status_code not in (401, 403), (method, path)
    assert seen == len([route for route in routes if route.include_in_schema])


async def test_for_a_token_that_is_narrowed_to_another_tenant_there_is_nothing(api: Api) -> None:
    created = (await api.create("acme", labels={"tier": "gold"})).json()
    document = (await api.client.get("/v1/openapi.json")).json()
    before = await rows(api)
    seen = 0
    for role in ("viewer", "operator"):
        for reach in ({"name_prefix": "other-"}, {"selector": "tier=silver"}):
            body = {"name": f"{role}-{len(str(reach))}", "role": role, **reach}
            secret = (await api.client.post("/v1/tokens", json=body)).json()["token"]
            headers = {"Authorization": f"Bearer {secret}"}
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    if "x-required-role" not in operation or path in OF_NO_TENANT or path == "/v1/watch":
                        continue
                    for name in ("acme", created["id"]):
                        url = path.replace("{name}", name).replace("{id}", created["workflow_execution_id"])
                        asked: dict[str, Any] = {"json": BODIES.get(operation["operationId"], {})}
                        if method in ("get", "delete"):
                            asked = {}
                        answer = await api.client.request(method, url, headers=headers, **asked)
                        where = (method, url, role, reach, answer.text)
                        seen += 1
                        if answer.status_code == 200:
                            # A list of what is within reach.
                            assert (path, answer.json()["items"]) in (("/v1/tenants", []), ("/v1/events", [])), where
                        elif (operation["operationId"], "selector" in reach, role) == (
                            "create_tenant",
                            True,
                            "operator",
                        ):
                            # The name is taken: names are the installation's. The labels are within reach.
                            assert answer.status_code == 409, where
                        else:
                            assert answer.status_code in (403, 404), where
                        assert "gold" not in answer.text, where
                        assert created["id"] == name or created["id"] not in answer.text, where
    assert seen > 100
    assert await rows(api) == before


async def rows(api: Api) -> list[Any]:
    """What a change would change: the tenant, its executions, and the events of tenants."""
    queries = (
        "SELECT * FROM tenants",
        "SELECT * FROM executions",
        "SELECT id FROM events WHERE tenant_id IS NOT NULL",
        "SELECT key FROM idempotency_keys",
        "SELECT * FROM freezes",
    )
    async with api.database.connect() as connection:
        return [(await connection.execute(text(query))).all() for query in queries]
