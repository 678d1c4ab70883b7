"""Calls to Step Functions and SQS by service and operation, in threads."""

from typing import Any, Self

from controlplane.settings import Settings
from providers.aws.clients import AssumedRole, AwsClients, speaking
from providers.kit.threads import Threads

THREADS = 12
PATIENCE_SECONDS = 120.0
"""For one call, with the attempts and the slowing down that the SDK makes by itself."""


class Aws:
    """Each call may come twice: executions have names, and a token is answered once. So none is waited for if its
    caller is cancelled. `assume_role`: the role to act as, None for the installation itself."""

    def __init__(self, *, endpoint_url: str | None = None, assume_role: AssumedRole | None = None) -> None:
        self._role = assume_role
        self._clients = AwsClients(endpoint_url=endpoint_url, connections=THREADS)
        self._threads = Threads("stepfunctions", THREADS, translate=speaking, patience=PATIENCE_SECONDS)

    @classmethod
    def build(cls, settings: Settings) -> Self:
        role = settings.stepfunctions_assume_role_arn
        return cls(endpoint_url=settings.aws_endpoint_url, assume_role=None if role is None else AssumedRole(role))

    async def region(self) -> str:
        return await self._threads.ask(lambda: self._clients.region)

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Raises the errors of `speaking`."""

        def work() -> dict[str, Any]:
            client = self._clients.client(service, self._role)
            answer: dict[str, Any] = getattr(client, operation)(**arguments)
            return answer

        return await self._threads.ask(work)

    async def close(self) -> None:
        self._threads.close()
        self._clients.close()
