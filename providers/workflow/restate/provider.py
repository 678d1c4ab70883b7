"""Restate as a workflow engine: starts through its ingress, everything else through its admin API, over plain HTTP.

The workflow itself is `app`, which Restate calls. Workflows are keyed by the execution id. So the server turns a second
start of an id into the first one (`PreviouslyAccepted`) as long as it remembers the id, a day after the end. The
engine's progress is read from `sys_invocation`; the end is pushed, by a request held open on the workflow.
"""

import asyncio
import json
from functools import partial
from random import Random
from typing import Any

import httpx

from controlplane.errors import LandlordError, SettingsError, Terminal, Throttled, Unavailable
from controlplane.model import canonical_json
from controlplane.ports import (
    Clock,
    ExecutionInput,
    ExecutionStatus,
    ProviderHealth,
    Started,
    WorkflowEnvironment,
)
from controlplane.settings import Settings, schema_of
from providers.kit.polling import Polling
from providers.workflow.restate.status import COLUMNS, FAILING, HANDLER, JOURNAL, SERVICE, status_of

CALL_SECONDS = 10.0
REGISTER_SECONDS = 30.0
"""Seconds. Before it answers, the server asks our endpoint for its services."""
NO_SUCH_PATH = "got status code '404'"
"""The server's words for what the endpoint answered."""


class RestateWorkflow:
    """`ports.WorkflowProvider` on a Restate server.

    Promises: one invocation for each execution id, for any number of callers and calls; attempts and waits survive the
    server, the endpoint and this process. It breaks if a server lost its data directory: then it knows no id and says
    `unknown`, and the owner starts the same id again.
    """

    name = "restate"

    def __init__(
        self,
        ingress: str,
        admin: str,
        endpoint: str,
        clock: Clock,
        *,
        token: str | None = None,
        random: Random | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._ingress = httpx.AsyncClient(base_url=ingress, headers=headers, timeout=CALL_SECONDS, trust_env=False)
        self._admin = httpx.AsyncClient(base_url=admin, headers=headers, timeout=CALL_SECONDS, trust_env=False)
        self._endpoint = endpoint
        self._clock = clock
        self._random = random or Random()
        self._registered: str | None = None
        """The id of our deployment, as the server said at the last `setup`."""

    @classmethod
    def available(cls, settings: Settings) -> bool:
        """True if both of its addresses are given."""
        return settings.restate_ingress_url is not None and settings.restate_admin_url is not None

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        return schema_of("restate_")

    @classmethod
    def build(cls, environment: WorkflowEnvironment) -> "RestateWorkflow":
        """Raises SettingsError if an address is missing."""
        settings = environment.settings
        if settings.restate_ingress_url is None or settings.restate_admin_url is None:
            raise SettingsError("workflow provider restate needs LANDLORD_RESTATE_INGRESS_URL and ..._ADMIN_URL")
        token = settings.restate_token.get_secret_value() if settings.restate_token else None
        return cls(
            settings.restate_ingress_url,
            settings.restate_admin_url,
            endpoint_url(settings),
            environment.clock,
            token=token,
        )

    async def setup(self) -> None:
        """Register our endpoint as the one for new executions. The server asks it for its services, so it must be up.

        Registering the same URL twice is success. Raises Unavailable (one of the two does not answer) or Terminal."""
        answer = await self._register()
        # 409: the services at this URL have changed, in a way that executions in flight can bear (JOURNAL is the same).
        # If another deployment is the newest: we were registered before it, and come back to one that the server
        # already knows.
        if answer.status_code == 409 or (answer.is_success and await self._newest() != answer.json()["id"]):
            answer = await self._register(force=True)
        if answer.is_error:
            raise Unavailable(f"Restate did not register {self._endpoint}: {_said(answer)}")
        self._registered = answer.json()["id"]

    async def calls_us(self) -> bool:
        """`CallsOneCluster.calls_us`. False also if the server has lost what we registered."""
        newest = await self._newest()
        return newest is not None and newest == self._registered

    async def start(self, request: ExecutionInput) -> Started:
        path = f"/{SERVICE}/{request.execution_id}/{HANDLER}/send"
        given = {"content": canonical_json(request.to_json()), "headers": {"Content-Type": "application/json"}}
        answer = await self._call(self._ingress, "POST", path, **given)
        if answer.status_code == 404:  # it does not know the workflow: the server is new, or came back without its data
            await self.setup()
            answer = await self._call(self._ingress, "POST", path, **given)
            if answer.status_code == 404:
                raise Unavailable(f"Restate does not serve {SERVICE} yet")
        if answer.is_error:
            raise Terminal(
                f"Restate refused {request.execution_id}: {_said(answer)}", execution_id=request.execution_id
            )
        said = answer.json()
        return Started(already=said["status"] == "PreviouslyAccepted", ref=said["invocationId"])

    async def status(self, execution_id: str, ref: str | None) -> ExecutionStatus:
        row = await self._invocation(execution_id)
        failing = None
        if row is not None and row["status"] in ("running", "suspended"):
            failing = await self._failing(execution_id)
        return status_of(row, failing)

    async def next_status(self, execution_id: str, ref: str | None, after: ExecutionStatus | None) -> ExecutionStatus:
        status = await self.status(execution_id, ref)
        if status != after:
            return status
        polling = Polling(self._random)
        ended = asyncio.create_task(self._until_ended(execution_id), name=f"end of {execution_id}")
        try:
            while status == after:
                await self._pause(polling.pause(), ended)
                status = await self.status(execution_id, ref)
        finally:
            ended.cancel()
        return status

    async def cancel(self, execution_id: str, ref: str | None, reason: str, *, kill: bool = False) -> None:
        """Cancel: the handler's next wait raises. A paused handler would never see that, so it is killed."""
        row = await self._invocation(execution_id)
        if row is None or row["status"] == "completed":
            return
        verb = "kill" if kill or row["status"] == "paused" else "cancel"
        answer = await self._call(self._admin, "PATCH", f"/invocations/{row['id']}/{verb}")
        if answer.is_error and answer.status_code not in (404, 409):
            raise Unavailable(f"Restate did not {verb} {execution_id}: {_said(answer)}")
        if verb == "cancel" and row["status"] == "backing-off":
            # The handler would see the cancellation only at its next attempt: make that now. If refused, it is not
            # waiting.
            await self._call(self._admin, "PATCH", f"/invocations/{row['id']}/resume")

    async def health(self) -> ProviderHealth:
        """Checks ingress and admin, and that the server knows our workflow."""
        try:
            for client, path in ((self._admin, "/health"), (self._ingress, "/restate/health")):
                answer = await self._call(client, "GET", path)
                if answer.is_error:
                    return ProviderHealth(healthy=False, detail=_said(answer))
        except LandlordError as error:
            return ProviderHealth(healthy=False, detail=error.message)
        return ProviderHealth(healthy=True)

    async def close(self) -> None:
        await self._ingress.aclose()
        await self._admin.aclose()

    async def _register(self, *, force: bool = False) -> httpx.Response:
        """Raises Unavailable. The server asks our endpoint on a connection that it has. If what is before the endpoint
        was replaced meanwhile, the old one may say there that it knows no such path, and closes it: then once more."""
        request = {"uri": self._endpoint, "use_http_11": True, "force": force}
        ask = partial(self._call, self._admin, "POST", "/deployments", json=request, timeout=REGISTER_SECONDS)
        try:
            return await ask()
        except Unavailable as error:
            if NO_SUCH_PATH not in error.message:
                raise
            return await ask()

    # --- asking ---

    async def _newest(self) -> str | None:
        """The id of the deployment that gets new executions."""
        answer = await self._call(self._admin, "GET", f"/services/{SERVICE}")
        return str(answer.json()["deployment_id"]) if answer.is_success else None

    async def _invocation(self, execution_id: str) -> dict[str, Any] | None:
        rows = await self._query(
            f"SELECT {', '.join(COLUMNS)} FROM sys_invocation WHERE target_service_name = {_quoted(SERVICE)} "
            f"AND target_service_key = {_quoted(execution_id)} AND target_handler_name = {_quoted(HANDLER)}"
        )
        return rows[0] if rows else None

    async def _failing(self, execution_id: str) -> str | None:
        rows = await self._query(
            f"SELECT value_utf8 FROM state WHERE service_name = {_quoted(SERVICE)} "
            f"AND service_key = {_quoted(execution_id)} AND key = {_quoted(FAILING)}"
        )
        return str(json.loads(rows[0]["value_utf8"])) if rows else None

    async def _query(self, sql: str) -> list[dict[str, Any]]:
        answer = await self._call(
            self._admin, "POST", "/query", json={"query": sql}, headers={"Accept": "application/json"}
        )
        if answer.is_error:
            raise Unavailable(f"Restate did not answer a query: {_said(answer)}")
        rows: list[dict[str, Any]] = answer.json()["rows"]
        return rows

    async def _until_ended(self, execution_id: str) -> None:
        """Returns once the workflow has ended, or the server has cut the connection."""
        await self._ingress.get(f"/restate/workflow/{SERVICE}/{execution_id}/attach", timeout=None)

    async def _pause(self, seconds: float, ended: "asyncio.Task[None]") -> None:
        if ended.done():
            await self._clock.sleep(seconds)
        else:
            await asyncio.wait({ended}, timeout=seconds)

    async def _call(self, client: httpx.AsyncClient, method: str, path: str, **request: Any) -> httpx.Response:
        """Raises Unavailable (no answer, or 5xx) and Throttled."""
        try:
            answer = await client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise Unavailable(f"no answer from Restate at {client.base_url}: {type(error).__name__}") from error
        if answer.status_code == 429:
            raise Throttled(f"Restate at {client.base_url} asks for fewer calls")
        if answer.status_code >= 500:
            raise Unavailable(f"Restate at {client.base_url} failed: {_said(answer)}")
        return answer


def endpoint_url(settings: Settings) -> str:
    """The address of our endpoint for Restate: LANDLORD_RESTATE_ENDPOINT_URL, by default this machine's Serve."""
    base = settings.restate_endpoint_url or f"http://127.0.0.1:{settings.port}/restate"
    return f"{base.rstrip('/')}/{JOURNAL}"


def _said(answer: httpx.Response) -> str:
    return f"{answer.status_code} {' '.join(answer.text.split())[:300]}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
