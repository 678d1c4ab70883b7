"""The meaning of AWS's refusals by their codes: one table for ECS, Step Functions, SQS, STS and the Parameter Store.

A refusal is Terminal only if the table says so, because no repetition helps. A code that is not in the table is
Retryable. What is refused because of the account (access, quota, something that must exist first) is waited for.
"""

import re
from collections.abc import Iterable, Mapping
from enum import Enum, auto

from controlplane.errors import (
    InvalidConfig,
    LandlordError,
    NotAvailableYet,
    Retryable,
    Terminal,
    Throttled,
    Unavailable,
    Unsupported,
    WaitsFor,
)
from providers.kit.redaction import redact


class Meaning(Enum):
    """The kind of a code. The comment names its error."""

    THROTTLED = auto()  # Throttled
    CREDENTIALS = auto()  # NotAvailableYet; the message may quote the signed request, so it is never passed on
    DENIED = auto()  # NotAvailableYet
    QUOTA = auto()  # NotAvailableYet
    ABSENT = auto()  # NotAvailableYet: something else must exist first
    LATER = auto()  # Retryable: another caller is changing the same thing
    YET = auto()  # NotAvailableYet, unless its text says that it never will: ECS uses it for nearly anything
    INVALID = auto()  # InvalidConfig, unless its text says that it heals
    UNSUPPORTED = auto()  # Unsupported
    OVER = auto()  # Terminal: the subject of the call exists already, or no longer exists


def _table(codes: Mapping[Meaning, str]) -> Mapping[str, Meaning]:
    return {code: meaning for meaning, words in codes.items() for code in words.split()}


MEANINGS = _table(
    {
        Meaning.THROTTLED: """KmsThrottled KmsThrottlingException RequestLimitExceeded RequestThrottled
            RequestThrottledException SlowDown ThrottledException Throttling ThrottlingException
            TooManyRequestsException TooManyUpdates""",
        Meaning.CREDENTIALS: """AuthFailure ExpiredToken ExpiredTokenException IncompleteSignature
            InvalidClientTokenId InvalidSecurity InvalidSignatureException MissingAuthenticationToken
            MissingAuthenticationTokenException RequestExpired SignatureDoesNotMatch UnrecognizedClientException""",
        Meaning.DENIED: """AccessDenied AccessDeniedException AuthorizationError BlockedException KmsAccessDenied
            KmsAccessDeniedException KmsOptInRequired NotAuthorized OptInRequired RegionDisabledException
            UnauthorizedOperation""",
        Meaning.QUOTA: """ExecutionLimitExceeded LimitExceeded LimitExceededException OverLimit ParameterLimitExceeded
            ParameterMaxVersionLimitExceeded ServiceQuotaExceededException StateMachineLimitExceeded""",
        Meaning.ABSENT: """AWS.SimpleQueueService.NonExistentQueue ClusterNotFoundException KmsDisabled
            KmsInvalidKeyUsage KmsInvalidState KmsInvalidStateException KmsNotFound NamespaceNotFoundException
            QueueDoesNotExist""",
        Meaning.LATER: """ConflictException InternalServerError ResourceInUseException ServerException
            ServiceNotActiveException ServiceNotFoundException StateMachineDeleting UpdateInProgressException""",
        Meaning.YET: "ClientException",
        Meaning.INVALID: """HierarchyLevelLimitExceededException HierarchyTypeMismatchException
            IncompatiblePolicyException InvalidAddress InvalidAllowedPatternException InvalidAttributeName
            InvalidDefinition InvalidEncryptionConfiguration InvalidExecutionInput InvalidFilterKey
            InvalidFilterOption InvalidFilterValue InvalidIdFormat InvalidKeyId InvalidLoggingConfiguration
            InvalidName InvalidNextToken InvalidOutput InvalidParameterException InvalidParameterValue
            InvalidPolicyAttributeException InvalidPolicyTypeException InvalidTracingConfiguration
            MalformedPolicyDocument MissingParameter MissingRequiredParameter PackedPolicyTooLarge
            ParameterPatternMismatchException PlatformTaskDefinitionIncompatibilityException PlatformUnknownException
            PoliciesLimitExceededException TooManyTags UnsupportedParameterType ValidationError ValidationException""",
        Meaning.UNSUPPORTED: "StateMachineTypeNotSupported UnsupportedFeatureException UnsupportedOperation",
        Meaning.OVER: """ExecutionAlreadyExists ExecutionDoesNotExist InvalidArn InvalidToken MessageNotInflight
            ParameterAlreadyExists ReceiptHandleIsInvalid ResourceNotFound StateMachineAlreadyExists
            StateMachineDoesNotExist TaskDoesNotExist TaskTimedOut""",
    }
)
NOUNS = {"Cluster": "ECS cluster", "Queue": "SQS queue", "Namespace": "Cloud Map namespace", "Kms": "usable KMS key"}

HEALS = re.compile(
    r"service linked role|unable to assume|not authorized|is inactive|no container instances|capacity|concurrent"
    r"|try again|retry|temporar|in progress|rate exceeded|throttl|timed out|is being|draining|not idempotent",
    re.IGNORECASE,
)
"""Texts of refusals that heal although their code is that of a wrong parameter: roles and capacity at an account's
first use, a definition that another runner of the execution has retired, two callers that register a revision of one
family at once."""

WRONG = re.compile(
    r"invalid|not valid|malformed|must |should (?:not )?be|not supported|unsupported|can(?:not|'t) be|no fargate config"
    r"|null or empty|blank|required|missing|too (?:long|many|large)|exceeds|duplicate|not found|unknown|at least one",
    re.IGNORECASE,
)
"""Texts of a ClientException that no repetition mends."""


def refused(operation: str, code: str, status: int, message: str, hidden: Iterable[str] = ()) -> LandlordError:
    """The error for one answer of AWS, with its `code`. `message`: its own text; `hidden`: values to leave out of
    it."""
    text = " ".join(redact(message, hidden).split()).rstrip(".")
    match _meaning(code, status, message):
        case Meaning.THROTTLED:
            return Throttled(f"AWS asks for fewer calls ({operation}: {text})", code=code)
        case Meaning.CREDENTIALS:
            return NotAvailableYet(
                f"AWS does not accept the control plane's credentials ({operation}: {code}); renew them",
                code=code,
                waits_for=WaitsFor.ACCESS_REFUSED,
            )
        case Meaning.DENIED:
            needed = "sts:AssumeRole" if operation == "AssumeRole" else operation
            return NotAvailableYet(
                f"AWS does not allow {needed}; grant it to the role in use: {text}",
                code=code,
                waits_for=WaitsFor.ACCESS_REFUSED,
            )
        case Meaning.QUOTA:
            return NotAvailableYet(
                f"a quota of the AWS account is used up ({operation}); have it raised: {text}",
                code=code,
                waits_for=WaitsFor.QUOTA_EXCEEDED,
            )
        case Meaning.ABSENT:
            noun = next(noun for word, noun in NOUNS.items() if word in code)
            return NotAvailableYet(
                f"there is no such {noun} ({operation}); create it or name another: {text}", code=code
            )
        case Meaning.YET:
            return NotAvailableYet(f"AWS cannot do this yet ({operation}): {text}", code=code)
        case Meaning.INVALID:
            return InvalidConfig(f"AWS refuses the config ({operation}): {text}", code=code)
        case Meaning.UNSUPPORTED:
            return Unsupported(f"AWS cannot do this in the account's region ({operation}): {text}", code=code)
        case Meaning.OVER:
            return Terminal(f"AWS refused {operation}: {code}: {text}", code=code)
        case _ if status >= 500:
            return Unavailable(f"AWS cannot answer now ({operation}: {text})", code=code)
        case _ if code in MEANINGS:  # another change of the same thing is under way
            text = f"AWS refused {operation}: {text}"
            return Retryable(text, code=code, waits_for=WaitsFor.PLATFORM_UNAVAILABLE)
        case _:
            return Retryable(f"AWS refused {operation}: {text}", code=code)


def _meaning(code: str, status: int, message: str) -> Meaning:
    meaning = MEANINGS.get(code, Meaning.LATER)
    if status == 429:
        return Meaning.THROTTLED
    if status >= 500 and meaning is not Meaning.THROTTLED:
        return Meaning.LATER
    if meaning is Meaning.INVALID and HEALS.search(message):
        return Meaning.YET
    if meaning is Meaning.YET and WRONG.search(message) and not HEALS.search(message):
        return Meaning.INVALID
    return meaning
