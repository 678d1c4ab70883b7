"""The AWS SDK: its clients, credentials, models and errors. The only file that imports boto3.

Credentials come from the SDK's standard chain and stay in the SDK: no row, error or log line ever holds one.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from controlplane.errors import NotAvailableYet, Retryable, Unavailable
from providers.aws.refusals import refused

CONNECT_SECONDS = 3
READ_SECONDS = 20
ATTEMPTS = 3
"""Of one call, by the SDK itself, which also slows down by itself where AWS throttles (its `adaptive` mode)."""
RENEW = timedelta(minutes=5)
"""So long before they expire, credentials of a role are replaced."""
SESSION_NAME = "landlord"
"""What CloudTrail shows beside a role that was assumed."""


class AwsClients:
    """Clients of the installation's own account and of the roles it assumes, made at their first use. Thread-safe.

    `endpoint_url`: of an emulator; None is AWS. Raises what `speaking` raises, so use it inside of one."""

    def __init__(self, *, endpoint_url: str | None, connections: int) -> None:
        self._endpoint_url = endpoint_url
        self._config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=connections,
            retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
            user_agent_appid="landlord",
        )
        self._lock = threading.Lock()
        self._identities: dict[str | None, _Identity] = {}

    def client(self, service: str, role: str | None = None) -> Any:
        """`service` as boto3 names it; `role`: the ARN of the role to act as, None for the installation itself."""
        with self._lock:
            identity = self._identities.get(role)
        if identity is None or identity.expired:
            identity = self._assume(role) if role is not None else _Identity(boto3.session.Session())
            with self._lock:
                self._identities[role] = identity
        with self._lock:
            if service not in identity.clients:
                identity.clients[service] = identity.session.client(
                    service, endpoint_url=self._endpoint_url, config=self._config
                )
            return identity.clients[service]

    @property
    def region(self) -> str:
        return str(self.client("sts").meta.region_name)

    def close(self) -> None:
        with self._lock:
            for identity in self._identities.values():
                for client in identity.clients.values():
                    client.close()
            self._identities.clear()

    def _assume(self, role: str) -> "_Identity":
        sts = self.client("sts")
        given = sts.assume_role(RoleArn=role, RoleSessionName=SESSION_NAME)["Credentials"]
        session = boto3.session.Session(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=sts.meta.region_name
        )
        return _Identity(session, given["Expiration"] - RENEW)


class _Identity:
    """One set of credentials and the clients that use it."""

    def __init__(self, session: boto3.session.Session, renew_at: datetime | None = None) -> None:
        self.session = session
        self.clients: dict[str, Any] = {}
        self._renew_at = renew_at

    @property
    def expired(self) -> bool:
        return self._renew_at is not None and datetime.now(UTC) >= self._renew_at


@contextmanager
def speaking(secrets: Iterable[str] = ()) -> Iterator[None]:
    """Calls to AWS; their errors become ours. `secrets`: values that no message may show.

    Raises Unavailable (no answer), NotAvailableYet (credentials, access, quota), Throttled, InvalidConfig,
    Unsupported, Retryable, each with AWS's own `code`."""
    try:
        yield
    except ClientError as error:
        answer = error.response.get("Error", {})
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
        message = str(answer.get("Message") or "no reason given")
        raise refused(error.operation_name, code_of(error), status, message, secrets) from None
    except (HTTPClientError, ConnectionError) as error:
        raise Unavailable(f"AWS does not answer: {_endpoint(error)}", code=type(error).__name__) from None
    except NoRegionError as error:
        raise NotAvailableYet(
            "no AWS region is set; set AWS_DEFAULT_REGION where the control plane runs", code=type(error).__name__
        ) from None
    except (
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        TokenRetrievalError,
    ) as error:
        raise NotAvailableYet(
            "no AWS credentials are found; give the control plane some (a role, a profile or AWS_ACCESS_KEY_ID)",
            code=type(error).__name__,
        ) from None
    except BotoCoreError as error:
        raise Retryable(f"the AWS SDK refuses the call: {type(error).__name__}", code=type(error).__name__) from None


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


@cache
def input_shape(operation: str) -> Any:
    """The request of an ECS operation, from the model that ships with the SDK. Reads a file once, asks nobody."""
    return _model().operation_model(operation).input_shape


@cache
def _model() -> Any:
    return botocore.session.Session().get_service_model("ecs")


def _endpoint(error: BotoCoreError) -> str:
    """Which address, and how it failed; the SDK's own text may hold more of the request."""
    address = error.kwargs.get("endpoint_url", "")
    return f"{type(error).__name__} at {address}" if address else type(error).__name__
