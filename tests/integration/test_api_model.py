"""Any sequence of requests, with random keys and etags, agrees with a small model of what a tenant is."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.model import Status
from tests.integration.api_replica import Api, api_on, served, tenant

EXAMPLES = count()
"""Names are never used by two examples: they share one database."""

KEYS = st.sampled_from([None, None, "k1", "k2"])
MATCHES = st.sampled_from([None, None, "current", '"1"', '"2"', "*", 'W/"1"', "nonsense"])
COLORS = st.sampled_from(["blue", "green"])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("POST"), COLORS, st.none(), KEYS),
        st.tuples(st.just("PATCH"), COLORS, MATCHES, KEYS),
        st.tuples(st.just("DELETE"), st.none(), MATCHES, KEYS),
        st.tuples(st.just("GET"), st.none(), st.none(), st.none()),
        st.tuples(st.just("finish"), st.none(), st.none(), st.none()),
    ),
    max_size=12,
)


@dataclass
class Model:
    """One name: what lives there, whether something did before, and what the keys answered."""

    live: dict[str, Any] | None = None
    existed: bool = False
    answers: dict[tuple[str, str], tuple[str | None, int, int]] = field(default_factory=dict)

    def expect(self, method: str, color: str | None, match: str | None, key: str | None) -> int:
        known = self.answers.get((method, key)) if key else None
        if known is not None:
            return known[1] if known[0] == color else 422
        status = getattr(self, method.lower())(color, match)
        if key and status in (200, 202):
            self.answers[method, key] = (color, status, self.live["version"] if self.live else 0)
        return int(status)

    def post(self, color: str, _: None) -> int:
        if self.live:
            return 409
        self.live, self.existed = {"version": 1, "generation": 1, "color": color, "deleting": False}, True
        return 202

    def patch(self, color: str, match: str | None) -> int:
        if not self.live:
            return self.get(None, None)
        if self.live["deleting"]:
            return 409
        if not self.matches(match):
            return 412
        if self.live["color"] == color:
            return 200
        self.live |= {"color": color, "version": self.live["version"] + 1, "generation": self.live["generation"] + 1}
        return 202

    def delete(self, _: None, match: str | None) -> int:
        if not self.live:
            return self.get(None, None)
        if not self.matches(match):
            return 412
        if not self.live["deleting"]:
            self.live |= {"deleting": True, "version": self.live["version"] + 1}
            self.live["generation"] += 1
        return 202

    def get(self, _: None, __: None) -> int:
        return 200 if self.live else 410 if self.existed else 404

    def matches(self, match: str | None) -> bool:
        assert self.live
        return match in (None, "*", "current", f'"{self.live["version"]}"')


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api, served(api) as api.client:
        yield api


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
async def test_the_api_agrees_with_the_model(api: Api, operations: list[tuple[Any, ...]]) -> None:
    name = f"m-{next(EXAMPLES)}"
    model = Model()
    for method, color, match, key in operations:
        if method == "finish":
            if model.live:
                await api.end(name, status=Status.DELETED if model.live["deleting"] else None)
                model.live = None if model.live["deleting"] else model.live
            continue
        headers = {"Idempotency-Key": f"{name}-{key}"} if key else {}
        if match:
            version = model.live["version"] if model.live else 1
            headers["If-Match"] = f'"{version}"' if match == "current" else match
        config = {"compute": {"provider": "cloud", "config": {"image": "web:1", "env": {"COLOR": color}}}}
        body = None if color is None else tenant(name, spec=config) if method == "POST" else {"spec": config}
        path = "/v1/tenants" if method == "POST" else f"/v1/tenants/{name}"
        expected = model.expect(method, color, match, key)
        answer = await api.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == expected, (method, color, match, key, answer.text)
        if answer.status_code in (200, 202) and "Idempotency-Replayed" not in answer.headers and model.live:
            shown = answer.json()
            assert (shown["version"], shown["generation"]) == (model.live["version"], model.live["generation"])
            assert shown["spec"]["compute"]["config"]["env"] == {"COLOR": model.live["color"]}
