"""The AWS SDK: its clients, credentials, models and errors. The only file that imports boto3.

Credentials come from the SDK's standard chain, or from a role that is assumed with them. The SDK renews both and keeps
them to itself: no row, error or log line ever holds one.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import CredentialResolver, DeferredRefreshableCredentials
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

from controlplane.errors import NotAvailableYet, Retryable, Unavailable, WaitsFor
from providers.aws.refusals import refused

CONNECT_SECONDS = 3
READ_SECONDS = 20
"""Longer than any call of ours that is answered late on purpose: SQS holds an empty answer for less."""
ATTEMPTS = 3
"""Attempts at one call, by the SDK itself. If AWS throttles, the SDK also slows down by itself (its `adaptive`
mode)."""
SESSION_NAME = "landlord"
"""CloudTrail shows this name with an assumed role."""
CLIENTS = 64
"""Clients of assumed roles that are kept, the last used ones. Each tenant may have one."""
DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
LIFETIME_SECONDS = 3600
"""Lifetime of a role's credentials: the most that one role may ask for another. The SDK renews them a quarter of an
hour before their end."""


@dataclass(frozen=True, slots=True)
class AssumedRole:
    """A role to act as, and the way to ask for it. `external_id`: the word that the role's trust policy may demand.
    `tags`: session tags, which CloudTrail and policies see; a role whose trust policy does not allow them is assumed
    without."""

    arn: str
    session_name: str = SESSION_NAME
    external_id: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


class AwsClients:
    """Clients of the installation's own account and of the roles it assumes, made at their first use. Thread-safe.

    `endpoint_url`: an emulator's; None is AWS. `connections`: each client keeps this many open, so it makes this many
    calls at once. Raises the errors of `speaking`, so use it inside of one. The calls of a client raise them too, if
    its role cannot be assumed."""

    def __init__(self, *, endpoint_url: str | None, connections: int) -> None:
        self._endpoint_url = endpoint_url
        self._config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=connections,
            retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
            user_agent_appid="landlord",
        )
        self._lock = threading.RLock()
        self._sessions: dict[AssumedRole | None, boto3.session.Session] = {}
        self._clients: dict[tuple[str, AssumedRole | None], Any] = {}

    def client(self, service: str, role: AssumedRole | None = None) -> Any:
        """The client of a service. `service` as boto3 names it; `role`: the role to act as, None for the installation
        itself."""
        with self._lock:
            found = self._clients.pop((service, role), None)
            if found is None:
                found = self._session(role).client(service, endpoint_url=self._endpoint_url, config=self._config)
            self._clients[service, role] = found  # the newest is the last
            self._let_go()
            return found

    @property
    def region(self) -> str:
        return str(self.client("sts").meta.region_name)

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
            self._sessions.clear()

    def _let_go(self) -> None:
        """Keep CLIENTS clients of roles. One that is let go is closed by its last user's end."""
        of_roles = [key for key in self._clients if key[1] is not None]
        for key in of_roles[: max(0, len(of_roles) - CLIENTS)]:
            del self._clients[key]
            if not any(role == key[1] for _, role in self._clients):
                self._sessions.pop(key[1], None)

    def _session(self, role: AssumedRole | None) -> boto3.session.Session:
        if role not in self._sessions:
            self._sessions[role] = boto3.session.Session() if role is None else self._session_as(role)
        return self._sessions[role]

    def _session_as(self, role: AssumedRole) -> boto3.session.Session:
        assumed = botocore.session.Session()
        assumed.register_component("credential_provider", CredentialResolver([_Assuming(self, role)]))
        return boto3.session.Session(botocore_session=assumed, region_name=self._session(None).region_name)

    def _assume(self, role: AssumedRole) -> Mapping[str, str]:
        """Fresh credentials, in the form of the SDK's own refreshing ones."""
        request: dict[str, Any] = {
            "RoleArn": role.arn,
            "RoleSessionName": role.session_name,
            "DurationSeconds": LIFETIME_SECONDS,
        }
        if role.external_id is not None:
            request["ExternalId"] = role.external_id
        tags = [{"Key": key, "Value": value} for key, value in role.tags]
        # Its errors become ours here: the SDK logs them.
        with _naming(role), speaking():
            sts = self.client("sts")
            try:
                given = sts.assume_role(**request, **({"Tags": tags} if tags else {}))["Credentials"]
            except ClientError as error:
                # A trust policy that does not name sts:TagSession refuses the whole call.
                if not tags or code_of(error) not in DENIED:
                    raise
                given = sts.assume_role(**request)["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }


class _Assuming:
    """A provider of botocore's credential chain: a role, assumed at its first call."""

    METHOD = "assume-role"

    def __init__(self, clients: AwsClients, role: AssumedRole) -> None:
        self._clients = clients
        self._role = role

    def load(self) -> Any:
        return DeferredRefreshableCredentials(lambda: self._clients._assume(self._role), self.METHOD)


@contextmanager
def _naming(role: AssumedRole) -> Iterator[None]:
    """If the role's own account refuses, say what its trust policy must accept."""
    try:
        yield
    except NotAvailableYet as error:
        if role.external_id is None or error.fields.get("code") not in DENIED:
            raise
        more = f"its trust policy must accept the external id {role.external_id}"
        raise NotAvailableYet(f"{error.message}; {more}", **error.fields) from None


@contextmanager
def speaking(hidden: Iterable[str] = ()) -> Iterator[None]:
    """For calls to AWS: their errors become ours. `hidden`: values that no message may show.

    Raises Unavailable (no answer), NotAvailableYet (credentials, access, quota), Throttled, InvalidConfig, Unsupported,
    Terminal, Retryable, each with AWS's own `code`."""
    try:
        yield
    except ClientError as error:
        answer = error.response.get("Error", {})
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
        message = str(answer.get("Message") or "no reason given")
        raise refused(error.operation_name, code_of(error), status, message, hidden) from None
    except (HTTPClientError, ConnectionError) as error:
        raise Unavailable(f"AWS does not answer: {_endpoint(error)}", code=type(error).__name__) from None
    except NoRegionError as error:
        raise NotAvailableYet(
            "no AWS region is set; set AWS_DEFAULT_REGION where the control plane runs",
            code=type(error).__name__,
            waits_for=WaitsFor.ACCESS_REFUSED,
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
            waits_for=WaitsFor.ACCESS_REFUSED,
        ) from None
    except BotoCoreError as error:
        raise Retryable(f"the AWS SDK refuses the call: {type(error).__name__}", code=type(error).__name__) from None


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


@cache
def input_shape(operation: str) -> Any:
    """The request of an ECS operation, from the model that ships with the SDK. Reads a file once; makes no call."""
    return _model().operation_model(operation).input_shape


@cache
def _model() -> Any:
    return botocore.session.Session().get_service_model("ecs")


def _endpoint(error: BotoCoreError) -> str:
    """The address and the kind of failure. The SDK's own text may hold more of the request."""
    address = error.kwargs.get("endpoint_url", "")
    return f"{type(error).__name__} at {address}" if address else type(error).__name__
