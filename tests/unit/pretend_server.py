"""A control plane in memory, for the examples in texts: each change is ready at the next look. It knows no specs."""

import json
from itertools import count
from typing import Any

import httpx


class PretendServer:
    """A handler for `httpx.MockTransport`."""

    def __init__(self) -> None:
        self._tenants: dict[str, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []
        self._ids = count(1)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path.split("/")[2:]:
            case "POST", ["tenants"]:
                return self._create(json.loads(request.content))
            case "GET", ["tenants"]:
                return httpx.Response(200, json={"items": list(self._tenants.values()), "next_cursor": None})
            case "GET", ["tenants", _, "watch"]:
                lines = "".join(f"data: {json.dumps(event)}\n\n" for event in self._events)
                return httpx.Response(200, text=lines)
            case method, ["tenants", name]:
                found = next((one for one in self._tenants.values() if name in (one["name"], one["id"])), None)
                if found is None:
                    return refusal(404, "tenant_not_found")
                return self._look(found) if method == "GET" else self._patch(found, request)
        return refusal(404, "not_found")

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        tenant = {
            "id": f"0190-{body['name']}",
            "version": 1,
            "generation": 1,
            "status": "requested",
            "workflow": {"state": "pending"},
            **body,
        }
        self._tenants[body["name"]] = tenant
        self._tell("tenant.created", tenant)
        return httpx.Response(202, json=tenant)

    def _look(self, tenant: dict[str, Any]) -> httpx.Response:
        if tenant["status"] != "ready":
            tenant |= {"status": "ready", "workflow": {"state": "succeeded"}}
            self._tell("tenant.status", tenant)
        return httpx.Response(200, json=tenant)

    def _patch(self, tenant: dict[str, Any], request: httpx.Request) -> httpx.Response:
        if request.headers.get("If-Match", f'"{tenant["version"]}"') != f'"{tenant["version"]}"':
            return refusal(412, "version_mismatch")
        tenant["labels"] = {**tenant["labels"], **json.loads(request.content)["labels"]}
        tenant["version"] += 1
        return httpx.Response(200, json=tenant)

    def _tell(self, type: str, tenant: dict[str, Any]) -> None:
        event = {"id": next(self._ids), "type": type, "tenant": tenant["name"], "status": tenant["status"]}
        self._events.append(event)


def refusal(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": code, "status": status})
