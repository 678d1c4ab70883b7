"""Every error of ours, as one tree.

LandlordError
├── Retryable               the same call may succeed later; carries `delay` (seconds, or None: use the backoff) and
│   │                       `waits_for` (what is missing outside the tenant's own spec, or None: a verdict on the spec)
│   ├── Unavailable         the engine or platform does not answer
│   ├── Throttled           it answers: not so fast
│   ├── NotAvailableYet     image, secret, quota or access is not there yet
│   └── HeldByOthers        everything is gone but what somebody else still uses
├── Terminal                the same call will never succeed
│   ├── InvalidConfig       the spec cannot work, and why
│   ├── NameConflict        something under our name belongs to somebody else
│   ├── Unsupported         the provider cannot do this
│   ├── DeadlineExceeded    it did not become healthy, or end, in the time it had
│   └── ProviderNotEnabled  the spec names a provider that this installation does not run
├── NotCurrent              the gate said no: another execution has taken over; stop, report, touch nothing more
├── InvalidTransition       this status cannot move that way
├── LeaseLost               another owner holds the tenant: write nothing more, leave
├── Refused                 a request that the API answers with a problem; carries `code` and `status`
├── SettingsError           a setting is unknown, malformed or contradicts another
└── SchemaTooNew            the database was migrated by a newer release

All of them survive pickle (they cross Ray and thread boundaries) and carry their ids as attributes.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar, Self

from controlplane.text import clean


class LandlordError(Exception):
    """Base of every error of ours.

    `message` is for a person, in one line: what it quotes may come from anywhere, so it goes through `text.clean`.
    `fields` are keyword attributes (ids, provider codes): whatever is given to the constructor by keyword is an
    attribute of the error and survives pickle.
    """

    def __init__(self, message: str, **fields: Any) -> None:
        message = clean(message)
        super().__init__(message)
        self.message = message
        self.fields = fields
        for name, value in fields.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.fields)

    def __str__(self) -> str:
        return self.message


def _rebuild(cls: type[LandlordError], message: str, fields: dict[str, Any]) -> LandlordError:
    return cls(message, **fields)


class WaitsFor(StrEnum):
    """What a tenant waits for: something outside its own spec, which somebody else brings back or makes.

    Each is the reason of the condition `Waiting` too (`controlplane.model.Reason`)."""

    PLATFORM_UNAVAILABLE = "PlatformUnavailable"
    """A platform, registry or service does not answer, or cannot do this now."""
    IMAGE_NOT_FOUND = "ImageNotFound"
    SECRET_MISSING = "SecretMissing"
    QUOTA_EXCEEDED = "QuotaExceeded"
    NETWORK_POOL_EXHAUSTED = "NetworkPoolExhausted"
    PORT_TAKEN = "PortTaken"
    ACCESS_REFUSED = "AccessRefused"
    """The platform does not accept the control plane's credentials, or does not allow it this; or a registry does not
    accept a login."""
    DRAINING = "Draining"
    """What was replaced runs on for as long as the spec says (`health.drain_seconds`)."""
    NEWER_RELEASE = "NewerRelease"
    """After a roll-back: only the newer release can read the spec."""
    NODE_LOST = "NodeLost"
    """A machine of the cluster does not answer."""
    OTHER_NODE = "OtherNode"
    """Only another machine of the cluster can do this, and it is about to."""


class Retryable(LandlordError):
    """The same call may succeed later. `delay`: seconds to wait at least, None for the caller's own backoff.

    `waits_for`: what is missing outside the tenant's own spec. Such a failure is no attempt: the step waits for it
    until the execution's deadline. None: it is a verdict on the spec, and the step has a bounded number of those."""

    outside: ClassVar[WaitsFor | None] = None
    """The `waits_for` of errors that name none."""

    delay: float | None
    waits_for: WaitsFor | None

    def __init__(
        self, message: str, *, delay: float | None = None, waits_for: WaitsFor | None = None, **fields: Any
    ) -> None:
        super().__init__(message, delay=delay, waits_for=waits_for or self.outside, **fields)


class Unavailable(Retryable):
    """The engine or platform does not answer, or says that it cannot do this now."""

    outside = WaitsFor.PLATFORM_UNAVAILABLE


class NotRunning(Unavailable):
    """Nothing was started in this home, or what was started has ended."""


class Throttled(Retryable):
    """The platform asks for fewer calls."""

    outside = WaitsFor.PLATFORM_UNAVAILABLE


class NotAvailableYet(Retryable):
    """Something that the call needs is not there yet: `waits_for` says what. It may come: an image is pushed, a secret
    is written, a quota is raised, and registries and IAM lag behind."""

    outside = WaitsFor.PLATFORM_UNAVAILABLE


class HeldByOthers(Retryable):
    """Belongings of a tenant are removed, except for those that somebody else still uses. The message names both."""


class Terminal(LandlordError):
    """The same call will never succeed."""


class InvalidConfig(Terminal):
    """The provider's config cannot work. `errors`: [{"loc": "ports.0.host_port", "message": "…"}], maybe empty."""

    errors: Sequence[dict[str, str]]

    def __init__(self, message: str, *, errors: Sequence[dict[str, str]] = (), **fields: Any) -> None:
        super().__init__(message, errors=list(errors), **fields)


class NameConflict(Terminal):
    """A resource with our name has another owner's or another tenant's labels."""


class Unsupported(Terminal):
    """The provider or its platform cannot do this, however it is worded. `errors` as in InvalidConfig."""

    errors: Sequence[dict[str, str]]

    def __init__(self, message: str, *, errors: Sequence[dict[str, str]] = (), **fields: Any) -> None:
        super().__init__(message, errors=list(errors), **fields)


class DeadlineExceeded(Terminal):
    """The execution or a step used up its time and did not end well."""


class ProviderNotEnabled(Terminal):
    """The spec names a provider that this installation does not run. `enabled` names the providers that it runs."""

    enabled: list[str]

    def __init__(self, message: str, *, enabled: Sequence[str] = (), **fields: Any) -> None:
        super().__init__(message, enabled=list(enabled), **fields)


class NotCurrent(LandlordError):
    """The gate said no. `made`: the immutable id of a resource that this very call created, or None."""

    made: str | None

    def __init__(self, message: str, *, made: str | None = None, **fields: Any) -> None:
        super().__init__(message, made=made, **fields)


class InvalidTransition(LandlordError):
    """The (status × cause) table has no such entry."""


class LeaseLost(LandlordError):
    """A fenced write changed no row: another owner has the tenant."""


class Refused(LandlordError):
    """A request is refused. `code` is one of the codes in `docs/api.md`, `status` is its HTTP status."""

    code: str
    status: int

    def __init__(self, message: str, *, code: str, status: int, **fields: Any) -> None:
        super().__init__(message, code=code, status=status, **fields)

    @classmethod
    def tenant_not_found(cls, name: str) -> Self:
        return cls(f"there is no tenant {name!r}", code="tenant_not_found", status=404)

    @classmethod
    def execution_not_found(cls, execution_id: str) -> Self:
        return cls(f"there is no execution {execution_id!r}", code="execution_not_found", status=404)

    @classmethod
    def invalid_transition(cls, message: str) -> Self:
        return cls(message, code="invalid_transition", status=409)


class SettingsError(LandlordError):
    """One line that names the setting and says what to do."""


class SchemaTooNew(LandlordError):
    """The database holds a schema that this release does not know."""


def told(error: Exception, unexpected: str) -> str:
    """The text of an error for people. An error of ours gives its message. Any other error gives only its type, after
    `unexpected`: its own text may hold secrets."""
    return error.message if isinstance(error, LandlordError) else f"{unexpected}: {type(error).__name__}"
