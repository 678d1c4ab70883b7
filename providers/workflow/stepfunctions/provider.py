"""AWS Step Functions as a workflow engine: one state machine for each action, an execution named by the execution id.

Step workers (`worker`) do the steps, which they take from an SQS queue. In a machine, names of executions are unique
for 90 days. So a second start of an id is refused with ExecutionAlreadyExists, even if the first has ended.
"""

import json
import re
from random import Random
from typing import Any
from uuid import uuid4

from controlplane.errors import LandlordError, SettingsError, Terminal, Throttled
from controlplane.model import Action, SubState, canonical_json
from controlplane.ports import (
    Clock,
    ExecutionInput,
    ExecutionStatus,
    ExecutionStore,
    ProviderHealth,
    Started,
    WorkflowEnvironment,
)
from controlplane.settings import Settings, schema_of
from providers.workflow.stepfunctions.aws import Aws
from providers.workflow.stepfunctions.following import Following
from providers.workflow.stepfunctions.machines import CANCELLED, definition
from providers.workflow.stepfunctions.pace import Pace
from providers.workflow.stepfunctions.status import status_of

STATES = "stepfunctions"
GONE = ("ExecutionDoesNotExist", "StateMachineDoesNotExist", "InvalidArn", "ResourceNotFound")
EVENTS = 50
"""The newest events of a history, on one page: a dozen attempts, each with four events that name its step. The rows
know the earlier ones."""
CAUSE = 256
_ACTION = re.compile(r"-(provision|update|delete)-\d+-[0-9a-f]{8}(?:-r\d+)?$")


class StepFunctionsWorkflow:
    """`ports.WorkflowProvider` on Step Functions.

    Promises: one execution for each id; executions go on without this process, and keep the definition with which they
    were started. Of all callers that start an id, exactly one learns that it was the first, unless its answer was lost.
    """

    name = "stepfunctions"

    def __init__(
        self,
        aws: Aws,
        store: ExecutionStore,
        clock: Clock,
        *,
        queue_url: str,
        role_arn: str,
        prefix: str,
        random: Random | None = None,
    ) -> None:
        self._aws = aws
        self._store = store
        self._clock = clock
        self._queue_url = queue_url
        self._role_arn = role_arn
        self._prefix = prefix
        self._random = random or Random()
        self._pace = Pace()
        self._following: dict[str, Following] = {}

    @classmethod
    def available(cls, settings: Settings) -> bool:
        """True if its queue and its role are given."""
        return settings.stepfunctions_queue_url is not None and settings.stepfunctions_role_arn is not None

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        return schema_of("stepfunctions_")

    @classmethod
    def build(cls, environment: WorkflowEnvironment) -> "StepFunctionsWorkflow":
        """Raises SettingsError if the queue or the role is missing."""
        settings = environment.settings
        if settings.stepfunctions_queue_url is None or settings.stepfunctions_role_arn is None:
            raise SettingsError(
                "workflow provider stepfunctions needs LANDLORD_STEPFUNCTIONS_QUEUE_URL and ..._ROLE_ARN"
            )
        return cls(
            Aws.build(settings),
            environment.store,
            environment.clock,
            queue_url=settings.stepfunctions_queue_url,
            role_arn=settings.stepfunctions_role_arn,
            prefix=settings.stepfunctions_prefix,
        )

    async def setup(self) -> None:
        """Create the machines, or update those that differ. Executions in flight keep the definition they began
        with."""
        for action in Action:
            await self._set_up(action)

    async def _set_up(self, action: Action) -> None:
        arn = await self._machine(action)
        wanted = definition(action, self._queue_url)
        try:
            there = await self._aws.call(STATES, "describe_state_machine", stateMachineArn=arn)
        except Terminal as error:
            if _code(error) not in GONE:
                raise
            await self._aws.call(
                STATES,
                "create_state_machine",
                name=f"{self._prefix}-{action}",
                definition=wanted,
                roleArn=self._role_arn,
                type="STANDARD",
                tags=[{"key": "landlord:prefix", "value": self._prefix}, {"key": "landlord:action", "value": action}],
            )
            return
        if json.loads(there["definition"]) != json.loads(wanted) or there["roleArn"] != self._role_arn:
            await self._aws.call(
                STATES, "update_state_machine", stateMachineArn=arn, definition=wanted, roleArn=self._role_arn
            )

    async def start(self, request: ExecutionInput) -> Started:
        arn = await self._machine(request.action)
        # While the first one runs, AWS silently accepts a repeat with the same input, and refuses another input. So
        # each call adds a random word. If the SDK repeats a request within a call, the word is the same, and the first
        # answer holds.
        given = canonical_json({**request.to_json(), "start": uuid4().hex})
        try:
            started = await self._start(arn, request.execution_id, given)
        except Terminal as error:
            if _code(error) == "ExecutionAlreadyExists":
                return Started(already=True, ref=_execution(arn, request.execution_id))
            if _code(error) not in GONE:
                raise
            await self.setup()
            started = await self._start(arn, request.execution_id, given)
        return Started(already=False, ref=started["executionArn"])

    async def _start(self, machine: str, name: str, given: str) -> dict[str, Any]:
        return await self._aws.call(STATES, "start_execution", stateMachineArn=machine, name=name, input=given)

    async def status(self, execution_id: str, ref: str | None) -> ExecutionStatus:
        arn = ref or await self._arn(execution_id)
        if arn is None:
            return ExecutionStatus(SubState.UNKNOWN)
        try:
            described = await self._aws.call(STATES, "describe_execution", executionArn=arn)
            events = await self._events(arn) if described["status"] == "RUNNING" else []
        except Terminal as error:
            if _code(error) in GONE:
                return ExecutionStatus(SubState.UNKNOWN)
            raise
        context = await self._store.context(execution_id)
        return status_of(described, events, context.steps, current=context.current)

    async def next_status(self, execution_id: str, ref: str | None, after: ExecutionStatus | None) -> ExecutionStatus:
        """Reads the rows often, and asks AWS if they have news, else rarely. Throttled is not silent: it waits."""
        following = self._following.setdefault(execution_id, Following())
        self._pace.followed = len(self._following)
        try:
            while True:
                status = await self._ask(execution_id, ref, following)
                if status is not None and status != after:
                    break
                await self._clock.sleep(following.polling(self._random).pause())
        except BaseException:
            self._forget(execution_id)
            raise
        if status.sub_state.terminal or status.sub_state is SubState.UNKNOWN:
            self._forget(execution_id)
        return status

    async def _ask(self, execution_id: str, ref: str | None, following: Following) -> ExecutionStatus | None:
        """None: it is not its turn, or AWS asks for fewer calls."""
        context = await self._store.context(execution_id)
        now = self._clock.now()
        if not following.is_due(context, now, self._pace.rest):
            return None
        if not following.is_urgent(context) and not self._pace.takes_turn(now):
            return None
        following.asked(context, now)
        try:
            status = await self.status(execution_id, ref)
        except Throttled:
            self._pace.throttled()
            return None
        self._pace.answered()
        return status

    def _forget(self, execution_id: str) -> None:
        self._following.pop(execution_id, None)
        self._pace.followed = len(self._following)

    async def cancel(self, execution_id: str, ref: str | None, reason: str, *, kill: bool = False) -> None:
        """StopExecution takes effect at once. If a worker is doing a step at that moment, the gate stops it."""
        arn = ref or await self._arn(execution_id)
        if arn is None:
            return
        try:
            described = await self._aws.call(STATES, "describe_execution", executionArn=arn)
            if described["status"] == "RUNNING":
                await self._aws.call(STATES, "stop_execution", executionArn=arn, error=CANCELLED, cause=reason[:CAUSE])
        except Terminal as error:
            if _code(error) not in GONE:
                raise

    async def health(self) -> ProviderHealth:
        try:
            await self._aws.call(STATES, "list_state_machines", maxResults=1)
            await self._aws.call("sqs", "get_queue_attributes", QueueUrl=self._queue_url, AttributeNames=["QueueArn"])
        except LandlordError as error:
            return ProviderHealth(healthy=False, detail=error.message)
        return ProviderHealth(healthy=True)

    async def close(self) -> None:
        await self._aws.close()

    async def _events(self, arn: str) -> list[dict[str, Any]]:
        answer = await self._aws.call(
            STATES, "get_execution_history", executionArn=arn, reverseOrder=True, maxResults=EVENTS
        )
        events: list[dict[str, Any]] = answer["events"]
        return events

    async def _arn(self, execution_id: str) -> str | None:
        """The ARN of an execution whose ref was never recorded: its machine follows from its name."""
        action = _ACTION.search(execution_id)
        return _execution(await self._machine(Action(action[1])), execution_id) if action else None

    async def _machine(self, action: Action) -> str:
        """The machine's ARN, in the partition and account of the role (`arn:aws:iam::<account>:role/…`)."""
        _, partition, _, _, account, _ = self._role_arn.split(":", 5)
        return f"arn:{partition}:states:{await self._aws.region()}:{account}:stateMachine:{self._prefix}-{action}"


def _execution(machine: str, name: str) -> str:
    return f"{machine.replace(':stateMachine:', ':execution:')}:{name}"


def _code(error: LandlordError) -> str:
    return str(error.fields.get("code", ""))
