"""The AWS SDK for Step Functions and SQS: clients in threads of their own, credentials, errors in our words.

Credentials come from the SDK's standard chain, or of a role that it assumes with them; the SDK renews both.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError

from controlplane.errors import LandlordError, NotAvailableYet, Terminal, Throttled, Unavailable
from controlplane.settings import Settings

CONNECT_SECONDS = 3
READ_SECONDS = 40
"""Longer than SQS may hold an empty answer (20 s)."""
ATTEMPTS = 4
THREADS = 12
SESSION_NAME = "landlord"
THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestThrottled", "SlowDown")
REFUSED = ("AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "ExpiredTokenException")


class Aws:
    """Calls by service and operation. Each error is ours and carries AWS's own `code`."""

    def __init__(self, *, endpoint_url: str | None = None, assume_role: str | None = None) -> None:
        self._endpoint_url = endpoint_url
        self._assume_role = assume_role
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="stepfunctions")
        self._config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=THREADS,
            retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
            user_agent_appid="landlord",
        )
        self._session: boto3.session.Session | None = None
        self._clients: dict[str, Any] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> "Aws":
        return cls(endpoint_url=settings.aws_endpoint_url, assume_role=settings.stepfunctions_assume_role_arn)

    async def region(self) -> str:
        return str((await self._client("stepfunctions")).meta.region_name)

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Raises Unavailable, Throttled, NotAvailableYet (access, credentials) or Terminal, with `code`."""
        client = await self._client(service)
        answer: dict[str, Any] = await self._thread(partial(getattr(client, operation), **arguments))
        return answer

    async def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _client(self, service: str) -> Any:
        if service not in self._clients:
            made = await self._thread(partial(self._make, service))
            self._clients.setdefault(service, made)
        return self._clients[service]

    def _make(self, service: str) -> Any:
        if self._session is None:
            self._session = self._sign_in()
        return self._session.client(service, endpoint_url=self._endpoint_url, config=self._config)

    def _sign_in(self) -> boto3.session.Session:
        if self._assume_role is None:
            return boto3.session.Session()
        source = botocore.session.Session()
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=partial(source.create_client, endpoint_url=self._endpoint_url),
            source_credentials=source.get_credentials(),
            role_arn=self._assume_role,
            extra_args={"RoleSessionName": SESSION_NAME},
        )
        assumed = botocore.session.Session()
        assumed._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
        return boto3.session.Session(botocore_session=assumed)

    async def _thread(self, work: Callable[[], Any]) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except ClientError as error:
            raise _ours(error) from None
        except BotoCoreError as error:
            name = type(error).__name__
            if name in ("NoCredentialsError", "NoRegionError", "PartialCredentialsError", "ProfileNotFound"):
                raise NotAvailableYet(f"AWS is not set up where the control plane runs: {name}", code=name) from None
            raise Unavailable(f"AWS does not answer: {name}", code=name) from None


def _ours(error: ClientError) -> LandlordError:
    answer = error.response.get("Error", {})
    code = str(answer.get("Code", "Unknown"))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
    message = f"{error.operation_name}: {code}: {answer.get('Message') or 'no reason given'}"
    if code in THROTTLED:
        return Throttled(message, code=code)
    if code in REFUSED:
        return NotAvailableYet(message, code=code)
    return Unavailable(message, code=code) if status >= 500 else Terminal(message, code=code)
