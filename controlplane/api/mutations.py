"""The one way in which a request changes a tenant.

    key → operation → answer, key and event in one transaction → commit → wake the tenant's actor → answer (or wait)

Commit and wake run shielded from the client's disconnect: once begun, they run to their end. No acknowledged change
depends on the wake: the supervisor reads rows.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, Header, Query, Request
from starlette.responses import Response

from controlplane import tracing
from controlplane.api import plans
from controlplane.api.beside import beside, weight
from controlplane.api.etags import etag
from controlplane.api.middleware import deadline
from controlplane.api.problem import problem_response
from controlplane.api.replica import Here, Replica, by_token
from controlplane.api.request_id import log
from controlplane.api.schemas.plan import PlanOut
from controlplane.api.schemas.tenant import shown
from controlplane.api.security import Operator
from controlplane.api.waiting import final_tenant, wait_seconds
from controlplane.errors import Refused
from controlplane.model import Execution, Tenant, tenant_in_execution_id
from controlplane.persistence import idempotency
from controlplane.persistence.idempotency import KeyScope, StoredAnswer
from controlplane.persistence.tenants import ExecutionLine
from controlplane.persistence.tokens import Token
from controlplane.persistence.transaction import Transaction
from controlplane.ports import Wake

JSON = "application/json"

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The `ETag` of the version to change; if it is stale, the answer is 412."),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[ -~]+$",
        description="For 24 hours, a repeat of the request with this key gets the same answer.",
    ),
]
Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description="`wait=N`: wait up to N seconds, at most 60, for the end of the execution (200 instead of 202).",
    ),
]
_RETRY_AFTER = "5"
ANSWER_FIRST_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Accepted:
    """The result of an operation, still inside its transaction: the changed tenant, and the execution that answers.

    `before`: the tenant before the change, None for a new one. `wake`: wake the actor. `started`: the execution is new
    and no other is before it, so an engine that may refuse it is waited for. `ends`: the execution whose end
    `Prefer: wait` waits for, if that is another one."""

    tenant: Tenant
    execution: Execution
    before: Tenant | None
    status: int = 202
    wake: bool = True
    started: bool = False
    action: str = "none"
    ends: str | None = None


Operation = Callable[[Transaction], Awaitable[Accepted]]


@dataclass(frozen=True, slots=True)
class _Outcome:
    answer: StoredAnswer
    replayed: bool = False
    refusal: Wake | None = None


class _DryRun(Exception):
    """Carries the answer out of a transaction that is rolled back."""

    def __init__(self, answer: StoredAnswer) -> None:
        super().__init__("dry run")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Mutation:
    """A request that may change something: its caller, and the demands of its headers."""

    request: Request
    here: Replica
    token: Token
    if_match: str | None
    key: str | None
    dry_run: bool
    wait: float

    async def perform(self, operation: Operation, *, variant: str = "") -> Response:
        """Run the operation and answer. `variant` is the part of the query that changes the request's meaning. If a key
        was used with another variant, it was used with another request. Raises Refused and the operation's own
        errors."""
        body_hash = hashlib.sha256(f"{variant}\n".encode() + await self.request.body()).hexdigest()
        outcome = await self.here.background.shielded(self._commit_and_wake(operation, body_hash))
        answer = outcome.answer
        headers = dict(answer.headers)
        if outcome.replayed:
            headers["Idempotency-Replayed"] = "true"
        if outcome.refusal is not None:
            return _trigger_failed(outcome.refusal, answer, headers)
        if self.wait and answer.status == 202:
            with self.here.grants.under(self.token) as grant:
                view = await final_tenant(self.here, self.token, answer.execution_id, self.wait)
                allowed = view is not None and await grant.holds()
            if view is not None and allowed:
                headers["ETag"] = etag(view.tenant)
                headers["Preference-Applied"] = f"wait={self.wait:g}"
                text = await beside(len(view.spec_json), lambda: self._shown(view.tenant, view.execution))
                return Response(text, 200, headers, JSON)
        return Response(answer.body, answer.status, headers, JSON)

    async def _commit_and_wake(self, operation: Operation, body_hash: str) -> _Outcome:
        with self._open_key():
            async with self.here.turns.take(self._about()), self.here.mutations.take(str(self.token.id)):
                with tracing.span("commit"):
                    answer, accepted = await self._commit(operation, body_hash)
        if accepted is None:
            return _Outcome(answer, replayed=not self.dry_run)
        if not accepted.wake:
            return _Outcome(answer)
        if not (accepted.started and self.here.may_refuse(accepted.execution.engine)):
            self.here.background.start(self._wake_behind(accepted))
            return _Outcome(answer)
        woken = await self._wake(accepted)
        return _Outcome(answer, refusal=woken if woken.outcome == "refused" else None)

    async def _wake_behind(self, accepted: Accepted) -> None:
        """Ray's calls keep the loop for longer than the answer does, so the answer goes first."""
        await asyncio.sleep(ANSWER_FIRST_SECONDS)
        await self._wake(accepted)

    async def _wake(self, accepted: Accepted) -> Wake:
        """Nothing may fail after the commit. If the wake-up fails, the supervisor mends it."""
        try:
            with tracing.span("wake"):
                return await self.here.directory.wake(
                    accepted.tenant.name,
                    accepted.tenant.id,
                    accepted.execution.id if accepted.started else None,
                    timeout=self.here.settings.trigger_timeout_seconds,
                )
        except Exception:
            log.exception("waking tenant %s failed; the supervisor will see its rows", accepted.tenant.name)
            return Wake("pending")

    async def _commit(self, operation: Operation, body_hash: str) -> tuple[StoredAnswer, Accepted | None]:
        """The answer, and the accepted change; None for a replay and for a dry run."""
        scope = self._scope()
        try:
            async with by_token(self.here, self.token) as tx:
                if scope is not None:
                    stored = await idempotency.claim(tx.connection, scope, body_hash)
                    if stored is not None:
                        return stored, None
                    await self.here.key_room.require(tx.connection, self.token.id)
                self._require_time()
                accepted = await operation(tx)
                if self.dry_run:
                    raise _DryRun(await self._beside(accepted, self._plan))
                answer = await self._beside(accepted, self._answer)
                if scope is not None:
                    await idempotency.store(tx.connection, scope, body_hash, answer)
                else:  # nobody can ask how it ended
                    self._require_time()
        except _DryRun as dry_run:
            return dry_run.answer, None
        if scope is not None:
            self.here.key_room.added(self.token.id)
        return answer, accepted

    def _require_time(self) -> None:
        """A database that was away may let a change go on long after its client was told that it is late, and has done
        something else. Raises Refused overloaded, which nobody hears."""
        if deadline.passed(self.request):
            raise Refused("the time of this request was over before it was done", code="overloaded", status=503)

    @contextmanager
    def _open_key(self) -> Iterator[None]:
        """A second request with the same key is refused at once, even while this request waits for its turn."""
        scope = self._scope()
        if scope is None:
            yield
            return
        if scope in self.here.open_keys:
            raise idempotency.in_progress()
        self.here.open_keys.add(scope)
        try:
            yield
        finally:
            self.here.open_keys.discard(scope)

    def _about(self) -> str:
        """The tenant that the path names, directly or by an execution. Requests that name none form one group."""
        parameters = self.request.path_params
        if "id" in parameters:
            return tenant_in_execution_id(parameters["id"]) or str(parameters["id"])
        return str(parameters["name"]).lower() if "name" in parameters else f"new {uuid4()}"

    def _scope(self) -> KeyScope | None:
        if self.key is None or self.dry_run:
            return None
        return KeyScope(self.token.id, self.request.method, self.request.url.path, self.key)

    async def _beside(self, accepted: Accepted, work: Callable[[Accepted], StoredAnswer]) -> StoredAnswer:
        specs = [tenant.spec for tenant in (accepted.before, accepted.tenant) if tenant is not None]
        return await beside(weight(*specs), lambda: work(accepted))

    def _answer(self, accepted: Accepted) -> StoredAnswer:
        headers = {"ETag": etag(accepted.tenant), "Location": f"/v1/tenants/{accepted.tenant.name}"}
        body = self._shown(accepted.tenant, accepted.execution)
        return StoredAnswer(accepted.status, headers, body, accepted.ends or accepted.execution.id)

    def _shown(self, tenant: Tenant, execution: Execution | ExecutionLine) -> str:
        return shown(tenant, execution, self.here.settings.rest_probe_seconds).decode()

    def _plan(self, accepted: Accepted) -> StoredAnswer:
        plan = PlanOut.model_validate(
            {
                "action": accepted.action,
                "generation": accepted.tenant.generation,
                "workflow_execution_id": accepted.execution.id,
                "changes": plans.changes(accepted.before, accepted.tenant, self.here.compute),
            }
        )
        headers = {} if accepted.before is None else {"ETag": etag(accepted.before)}
        return StoredAnswer(200, headers, plan.model_dump_json(), accepted.execution.id)


async def mutation(
    request: Request,
    here: Here,
    token: Operator,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
    dry_run: Annotated[bool, Query(description="Answer with the plan (200); store nothing.")] = False,
) -> Mutation:
    """The dependency of every route that changes a tenant."""
    wait = wait_seconds(prefer)
    deadline.extend(request, wait)
    return Mutation(request, here, token, if_match, idempotency_key, dry_run, wait)


Mutating = Annotated[Mutation, Depends(mutation)]


def _trigger_failed(refusal: Wake, answer: StoredAnswer, headers: dict[str, str]) -> Response:
    """The answer to a refused start. The intent is kept and the supervisor tries again; the client learns where to
    look."""
    return problem_response(
        "workflow_trigger_failed",
        refusal.message or "the workflow engine did not take the execution; it is tried again",
        headers={**headers, "Retry-After": _RETRY_AFTER},
        members={"tenant": json.loads(answer.body), "workflow_execution_id": answer.execution_id},
    )
