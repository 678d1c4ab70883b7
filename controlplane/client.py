"""A typed, blocking client of the control plane's HTTP API: the command line, operators and tests use it.

    with Client.of(load_settings()) as client:
        tenant = client.create_tenant({"name": "acme", "spec": {...}})
        tenant = client.wait_tenant(tenant["id"], timeout=60)

Answers are the JSON documents of the API as they came, typed. Problems are raised as `Refused` with the problem's
fields; no answer at all is `Unreachable`.
"""

import json
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
SILENCE_SECONDS = 30.0
"""A watch that is silent for so long is broken: the server sends a heartbeat every 10 s."""
WATCH_PATIENCE_SECONDS = 60.0
"""So long a watch that was cut off looks for a server to go on with."""
CONSISTENCY_SECONDS = 120.0
"""Every provider lists all that it has."""
DRY_RUN = {"dry_run": "true"}
UNAVAILABLE = 503
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
    effective_interval_seconds: float | None


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
    paused: bool
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
    generation: int | None
    status: str | None
    execution_id: str | None
    trigger_source: str | None
    actor: str | None
    message: str
    at: str


class WatchDocument(TypedDict):
    """An event as a watch tells it."""

    id: int
    type: str
    tenant: str | None
    generation: int | None
    status: str | None
    execution_id: str | None
    at: str


class ChangeDocument(TypedDict):
    """One difference: a dotted path of the tenant's document; None is: not there."""

    path: str
    before: Any
    after: Any


class PlanDocument(TypedDict):
    """What a change would do. `action` is none where no execution would follow."""

    dry_run: Literal[True]
    action: Literal["provision", "update", "delete", "none"]
    generation: int
    workflow_execution_id: str
    changes: list[ChangeDocument]


class ComputeProviderDocument(TypedDict):
    name: str
    healthy: bool
    detail: str
    one_node: bool
    capabilities: list[str]


class WorkflowProviderDocument(TypedDict):
    name: str
    default: bool


class ProvidersDocument(TypedDict):
    compute: list[ComputeProviderDocument]
    workflow: list[WorkflowProviderDocument]


class TokenDocument(TypedDict):
    id: str
    name: str
    role: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class NewTokenDocument(TokenDocument):
    """The only answer that ever holds the secret."""

    token: str


class FreezesDocument(TypedDict):
    """What is paused beside single tenants."""

    all: bool
    providers: list[str]


class DifferenceDocument(TypedDict):
    kind: str
    tenant: str | None
    resource: str | None
    detail: str


class ConsistencyDocument(TypedDict):
    differences: list[DifferenceDocument]


class TenantPage(TypedDict):
    items: list[TenantDocument]
    next_cursor: str | None


class ExecutionPage(TypedDict):
    items: list[ExecutionDocument]
    next_cursor: str | None


class EventPage(TypedDict):
    items: list[EventDocument]
    next_cursor: str | None


class TokenPage(TypedDict):
    items: list[TokenDocument]
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
        found = self._mutate("POST", "/v1/tenants", json=document, wait=wait, idempotency_key=idempotency_key)
        return cast(TenantDocument, found)

    def plan_create(self, document: Mapping[str, Any]) -> PlanDocument:
        """What `create_tenant` would do; refused as that would be. Nothing is stored."""
        return cast(PlanDocument, self._mutate("POST", "/v1/tenants", json=document, params=DRY_RUN))

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
        found = self._mutate(
            "PATCH",
            f"/v1/tenants/{_path(name)}",
            json=patch,
            if_match=if_match,
            wait=wait,
            idempotency_key=idempotency_key,
        )
        return cast(TenantDocument, found)

    def plan_update(self, name: str, patch: Mapping[str, Any]) -> PlanDocument:
        """What `update_tenant` would do; refused as that would be. Nothing is stored."""
        path = f"/v1/tenants/{_path(name)}"
        return cast(PlanDocument, self._mutate("PATCH", path, json=patch, params=DRY_RUN))

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
        found = self._mutate(
            "DELETE",
            f"/v1/tenants/{_path(name)}",
            params={"force": "true"} if force else None,
            if_match=if_match,
            wait=wait,
            idempotency_key=idempotency_key,
        )
        return cast(TenantDocument, found)

    def retry_tenant(self, name: str, *, idempotency_key: str | None = None) -> TenantDocument:
        """Run the failed execution of the newest generation again."""
        return self._act(name, "retry", idempotency_key)

    def reconcile_tenant(self, name: str, *, idempotency_key: str | None = None) -> TenantDocument:
        """Wake its actor to compare it with reality now."""
        return self._act(name, "reconcile", idempotency_key)

    def pause_tenant(self, name: str, *, idempotency_key: str | None = None) -> TenantDocument:
        """Begin nothing new for it. Paused again is success."""
        return self._act(name, "pause", idempotency_key)

    def resume_tenant(self, name: str, *, idempotency_key: str | None = None) -> TenantDocument:
        """Go on with it; what a provider or all are paused by stays."""
        return self._act(name, "resume", idempotency_key)

    def tenant_logs(self, name: str, *, tail: int = 100) -> str:
        """The last lines that its compute wrote; empty before there is any."""
        answer = self._request("GET", f"/v1/tenants/{_path(name)}/logs", params={"tail": tail})
        return answer.text if answer.is_success else str(self._read(answer))

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
        path = f"/v1/executions/{_path(execution_id)}/cancel"
        return cast(TenantDocument, self._mutate("POST", path, idempotency_key=idempotency_key))

    def list_events(self, tenant: str | None = None, *, limit: int = 50, cursor: str | None = None) -> EventPage:
        """The audit trail, of one tenant or of all."""
        path = "/v1/events" if tenant is None else f"/v1/tenants/{_path(tenant)}/events"
        return cast(EventPage, self._send("GET", path, params={"limit": limit, "cursor": cursor}))

    def watch(self, tenant: str | None = None, *, after: int | None = None) -> Iterator[WatchDocument]:
        """Events as they are committed: of one tenant until it is deleted, or of all for ever. `after`: the id of the
        last event that was seen; without it from now.

        In order, each once; goes on where it was when the connection breaks or the server restarts. Raises Refused,
        and Unreachable when no server was there for a minute.
        """
        path = "/v1/watch" if tenant is None else f"/v1/tenants/{_path(tenant)}/watch"
        # From now, but by id: so that a break before the first event leaves no gap either.
        newest = self.list_events(limit=1)["items"] if after is None else []
        last = newest[0]["id"] if newest else after
        heard: float | None = None
        ended = False
        while True:
            try:
                for line in self._lines(path, last):
                    heard = self._clock()
                    if line.startswith("data:"):
                        event = cast(WatchDocument, json.loads(line.removeprefix("data:")))
                        last, ended = event["id"], ended or event["status"] == "deleted"
                        yield event
            except (httpx.TransportError, Unreachable, Refused) as error:
                if isinstance(error, Refused) and error.status != UNAVAILABLE:
                    raise
                if heard is None or self._clock() - heard > WATCH_PATIENCE_SECONDS:
                    raise self._unreachable() if isinstance(error, httpx.TransportError) else error from None
            if ended and tenant is not None:
                return
            self._sleep(BETWEEN_TRIES_SECONDS)

    # --- the installation --------------------------------------------------------------------------------------------

    def list_providers(self) -> ProvidersDocument:
        """The enabled providers and their health."""
        return cast(ProvidersDocument, self._send("GET", "/v1/providers"))

    def provider_schema(self, name: str) -> dict[str, Any]:
        """JSON Schema 2020-12 of a compute provider's config."""
        return cast(dict[str, Any], self._send("GET", f"/v1/providers/compute/{_path(name)}/schema"))

    def create_token(self, name: str, role: str, *, expires_in_seconds: int | None = None) -> NewTokenDocument:
        """A new bearer token; its secret is in this answer and nowhere else. Never sent twice: where the connection
        breaks there may be a token that nobody knows, to be revoked."""
        document = {"name": name, "role": role, "expires_in_seconds": expires_in_seconds}
        return cast(NewTokenDocument, self._send("POST", "/v1/tokens", json=document, tries=1))

    def iterate_tokens(self) -> Iterator[TokenDocument]:
        """All by name, revoked and expired ones too."""
        cursor = None
        while True:
            page = cast(TokenPage, self._send("GET", "/v1/tokens", params={"limit": 500, "cursor": cursor}))
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def revoke_token(self, name: str) -> TokenDocument:
        """From now on it opens nothing."""
        return cast(TokenDocument, self._send("DELETE", f"/v1/tokens/{_path(name)}"))

    def list_pauses(self) -> FreezesDocument:
        """What is paused beside single tenants."""
        return cast(FreezesDocument, self._send("GET", "/v1/admin/pause"))

    def pause(self, provider: str | None) -> FreezesDocument:
        """Begin nothing new for the tenants of a provider; of None: for all."""
        return cast(FreezesDocument, self._send("POST", "/v1/admin/pause", json=_scope(provider)))

    def resume(self, provider: str | None) -> FreezesDocument:
        """End what `pause` of the same began; other pauses stay."""
        return cast(FreezesDocument, self._send("POST", "/v1/admin/resume", json=_scope(provider)))

    def consistency(self) -> ConsistencyDocument:
        """Rows against actors against resources, now."""
        return cast(ConsistencyDocument, self._send("GET", "/v1/admin/consistency", timeout=CONSISTENCY_SECONDS))

    # --- the wire ----------------------------------------------------------------------------------------------------

    def _act(self, name: str, verb: str, idempotency_key: str | None) -> TenantDocument:
        path = f"/v1/tenants/{_path(name)}/{verb}"
        return cast(TenantDocument, self._mutate("POST", path, idempotency_key=idempotency_key))

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
                # A refused connection will be refused again; one that broke is worth another.
                if isinstance(error, httpx.ConnectError) or number == tries:
                    raise self._unreachable() from None
            else:
                # After a broken connection the first try may still be at work on our key.
                if not (1 < number < tries and _code(answer) == "idempotency_in_progress"):
                    return answer
            self._sleep(BETWEEN_TRIES_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _lines(self, path: str, last: int | None) -> Iterator[str]:
        """Of an event stream, as they come."""
        headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": str(last)})
        timeout = httpx.Timeout(self._timeout, read=SILENCE_SECONDS)
        with self._http.stream("GET", path, headers=headers, timeout=timeout) as answer:
            if not answer.is_success:
                answer.read()
                self._read(answer)
            yield from answer.iter_lines()

    def _unreachable(self) -> Unreachable:
        return Unreachable(f"no control plane answers at {self.url}; is it running? `landlord up`")

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


def _scope(provider: str | None) -> dict[str, Any]:
    return {"all": True} if provider is None else {"provider": provider}


def _path(segment: str) -> str:
    return quote(segment, safe="")
