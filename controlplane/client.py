"""A typed, blocking client of the control plane's HTTP API: the command line, operators and tests use it.

    with Client.of(load_settings()) as client:
        tenant = client.create_tenant({"name": "acme", "spec": {...}})
        tenant = client.wait_tenant(tenant["id"], timeout=60)

Answers are the JSON documents of the API as they came, typed. Problems are raised as `Refused` with the problem's
fields; no answer at all is `Unreachable`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NotRequired, Self, TypedDict, cast
from urllib.parse import quote
from uuid import uuid4

import httpx

from controlplane.errors import DeadlineExceeded, EngineUnavailable, Refused
from controlplane.local.paths import Home
from controlplane.settings import Settings

TRIES = 4
"""Of one request when the connection breaks: each carries the same Idempotency-Key, so none acts twice."""
BETWEEN_TRIES_SECONDS = 0.3
POLL_SECONDS = 0.25
MERGE_PATCH = "application/merge-patch+json"
ENDED = frozenset({"succeeded", "failed", "cancelled", "superseded"})
RESTING = frozenset({"ready", "degraded", "failed", "deleted"})


class Workflow(TypedDict):
    """The execution of a tenant's newest generation."""

    provider: str
    state: str
    sub_state: str | None
    retry_count: int
    error: str | None
    next_attempt_at: str | None
    trigger_source: str


class Endpoint(TypedDict):
    name: str
    url: str


class Observed(TypedDict):
    endpoints: list[Endpoint]
    resources: dict[str, str]
    healthy: bool | None
    checked_at: str | None


class TenantDocument(TypedDict):
    """A tenant as the API shows it. `version` is what `if_match` takes."""

    id: str
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any]
    generation: int
    observed_generation: int
    status: str
    status_message: str
    conditions: list[dict[str, Any]]
    observed: Observed
    workflow_execution_id: str
    workflow: Workflow
    version: int
    created_at: str
    updated_at: str
    deleted_at: str | None


class StepDocument(TypedDict):
    name: str
    state: str
    attempts: int
    error: str | None


class ExecutionDocument(TypedDict):
    """An execution. `steps` only where one was asked for."""

    id: str
    tenant: str
    action: str
    generation: int
    run: int
    provider: str
    state: str
    sub_state: str | None
    retry_count: int
    error: str | None
    trigger_source: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    steps: NotRequired[list[StepDocument]]


class EventDocument(TypedDict):
    id: int
    type: str
    tenant: str | None
    execution_id: str | None
    trigger_source: str | None
    actor: str | None
    message: str
    at: str


class TenantPage(TypedDict):
    items: list[TenantDocument]
    next_cursor: str | None


class ExecutionPage(TypedDict):
    items: list[ExecutionDocument]
    next_cursor: str | None


class EventPage(TypedDict):
    items: list[EventDocument]
    next_cursor: str | None


class Unreachable(EngineUnavailable):
    """No control plane answers at the URL."""


class Client:
    """One connection pool to one control plane. Not for use by several threads at once."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout`: seconds for one answer, beyond what `wait` asks for. The last three are for tests."""
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._sleep = sleep
        self._clock = clock
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        # No proxy from the environment: it could not reach the loopback address that most control planes have.
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout, transport=transport, trust_env=False
        )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the URL of the settings and LANDLORD_TOKEN, else the token that `landlord up` left in the home.

        Raises Unreachable when there is neither.
        """
        if settings.token is not None:
            return cls(settings.base_url, settings.token.get_secret_value())
        path = Home(settings.home).token
        try:
            token = path.read_text().strip()
        except OSError as error:
            raise Unreachable(
                f"no token: {path} cannot be read ({error.strerror}) and LANDLORD_TOKEN is not set; "
                "start the control plane with `landlord up`"
            ) from None
        return cls(settings.base_url, token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- tenants -----------------------------------------------------------------------------------------------------

    def create_tenant(
        self, document: Mapping[str, Any], *, wait: int | None = None, idempotency_key: str | None = None
    ) -> TenantDocument:
        """`document`: name, spec, and maybe labels and annotations. `wait`: let the server answer only once the
        execution has ended or that many seconds (at most 60) have passed."""
        return self._mutate("POST", "/v1/tenants", json=document, wait=wait, idempotency_key=idempotency_key)

    def get_tenant(self, name: str) -> TenantDocument:
        """By name or UUID; a deleted tenant by UUID only."""
        return cast(TenantDocument, self._send("GET", f"/v1/tenants/{_path(name)}"))

    def list_tenants(
        self,
        *,
        status: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        name_prefix: str = "",
        limit: int = 50,
        cursor: str | None = None,
    ) -> TenantPage:
        """One page of the tenants that are not deleted, by name."""
        pairs = [f"{key}={value}" for key, value in (labels or {}).items()]
        query = {"status": list(status), "label": pairs, "name_prefix": name_prefix, "limit": limit, "cursor": cursor}
        return cast(TenantPage, self._send("GET", "/v1/tenants", params=query))

    def iterate_tenants(
        self, *, status: Sequence[str] = (), labels: Mapping[str, str] | None = None, name_prefix: str = ""
    ) -> Iterator[TenantDocument]:
        """All of them, page by page."""
        cursor = None
        while True:
            page = self.list_tenants(status=status, labels=labels, name_prefix=name_prefix, limit=500, cursor=cursor)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def update_tenant(
        self,
        name: str,
        patch: Mapping[str, Any],
        *,
        if_match: int | None = None,
        wait: int | None = None,
        idempotency_key: str | None = None,
    ) -> TenantDocument:
        """`patch`: a JSON Merge Patch of spec, labels, annotations. `if_match`: the version that it was made for."""
        return self._mutate(
            "PATCH",
            f"/v1/tenants/{_path(name)}",
            json=patch,
            if_match=if_match,
            wait=wait,
            idempotency_key=idempotency_key,
        )

    def delete_tenant(
        self,
        name: str,
        *,
        force: bool = False,
        if_match: int | None = None,
        wait: int | None = None,
        idempotency_key: str | None = None,
    ) -> TenantDocument:
        """`force`: close the row and abandon what its compute still holds (admin)."""
        return self._mutate(
            "DELETE",
            f"/v1/tenants/{_path(name)}",
            params={"force": "true"} if force else None,
            if_match=if_match,
            wait=wait,
            idempotency_key=idempotency_key,
        )

    def retry_tenant(self, name: str, *, idempotency_key: str | None = None) -> TenantDocument:
        """Run the failed execution of the newest generation again."""
        return self._mutate("POST", f"/v1/tenants/{_path(name)}/retry", idempotency_key=idempotency_key)

    def wait_tenant(
        self, name: str, *, timeout: float, changed: Callable[[TenantDocument], None] | None = None
    ) -> TenantDocument:
        """Returns the tenant once the execution of its newest generation has ended and its status rests (ready,
        degraded, failed or deleted). `changed` is called with each state on the way.

        Survives restarts of the server. Raises DeadlineExceeded after `timeout` seconds.
        """
        deadline = self._clock() + timeout
        identity, seen = name, None
        while True:
            try:
                tenant = self.get_tenant(identity)
                # By id from now on: the name is gone once the tenant is deleted.
                identity = tenant["id"]
                if changed is not None and tenant != seen:
                    changed(tenant)
                seen = tenant
                if settled(tenant):
                    return tenant
            except Unreachable:
                if self._clock() > deadline:
                    raise
            if self._clock() > deadline:
                state = f"is still {seen['status']}" if seen else "was not seen"
                raise DeadlineExceeded(f"tenant {name!r} {state} after {timeout:g} s", tenant=name)
            self._sleep(POLL_SECONDS)

    # --- executions and events ---------------------------------------------------------------------------------------

    def get_execution(self, execution_id: str) -> ExecutionDocument:
        """With its steps."""
        return cast(ExecutionDocument, self._send("GET", f"/v1/executions/{_path(execution_id)}"))

    def list_executions(self, tenant: str, *, limit: int = 50, cursor: str | None = None) -> ExecutionPage:
        """A tenant's history, newest first."""
        query = {"limit": limit, "cursor": cursor}
        return cast(ExecutionPage, self._send("GET", f"/v1/tenants/{_path(tenant)}/executions", params=query))

    def cancel_execution(self, execution_id: str, *, idempotency_key: str | None = None) -> TenantDocument:
        return self._mutate("POST", f"/v1/executions/{_path(execution_id)}/cancel", idempotency_key=idempotency_key)

    def list_events(self, tenant: str | None = None, *, limit: int = 50, cursor: str | None = None) -> EventPage:
        """The audit trail, of one tenant or of all."""
        path = "/v1/events" if tenant is None else f"/v1/tenants/{_path(tenant)}/events"
        return cast(EventPage, self._send("GET", path, params={"limit": limit, "cursor": cursor}))

    # --- the wire ----------------------------------------------------------------------------------------------------

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
    ) -> TenantDocument:
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        if method == "PATCH":
            headers["Content-Type"] = MERGE_PATCH
        timeout = self._timeout + (wait or 0)
        found = self._send(method, path, json=json, params=params, headers=headers, timeout=timeout)
        return cast(TenantDocument, found)

    def _send(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        query = {name: value for name, value in (params or {}).items() if value not in (None, "", [])}
        for number in range(1, TRIES + 1):
            try:
                answer = self._http.request(
                    method, path, json=json, params=query, headers=headers, timeout=timeout or self._timeout
                )
            except httpx.TransportError as error:
                # A refused connection will be refused again; one that broke is worth another.
                if isinstance(error, httpx.ConnectError) or number == TRIES:
                    raise Unreachable(f"no control plane answers at {self.url}; is it running? `landlord up`") from None
            else:
                # After a broken connection the first try may still be at work on our key.
                if not (1 < number < TRIES and _code(answer) == "idempotency_in_progress"):
                    return self._read(answer)
            self._sleep(BETWEEN_TRIES_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _read(self, answer: httpx.Response) -> Any:
        try:
            body = answer.json()
        except ValueError:
            # Only the proxy in front of the application answers anything else.
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


def settled(tenant: TenantDocument) -> bool:
    """Nothing is under way for it."""
    return tenant["status"] in RESTING and tenant["workflow"]["state"] in ENDED


def _code(answer: httpx.Response) -> str | None:
    if answer.is_success or "json" not in answer.headers.get("Content-Type", ""):
        return None
    body = answer.json()
    return str(body.get("code")) if isinstance(body, dict) else None


def _path(segment: str) -> str:
    return quote(segment, safe="")
