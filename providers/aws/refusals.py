"""What AWS's refusals mean, by their codes, and what a person is to do about each."""

import re
from collections.abc import Iterable

from controlplane.errors import (
    InvalidConfig,
    LandlordError,
    NotAvailableYet,
    Retryable,
    Throttled,
    Unavailable,
    Unsupported,
)
from providers.kit.redaction import redact

THROTTLED = frozenset(
    {
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TooManyUpdates",
    }
)
CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""Their messages may quote the signed request, so they are never passed on."""
DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "BlockedException", "UnauthorizedOperation"}
)
QUOTA = frozenset(
    {"LimitExceeded", "LimitExceededException", "ParameterLimitExceeded", "ServiceQuotaExceededException"}
)
INVALID = frozenset(
    {
        "ClientException",
        "InvalidParameterException",
        "PlatformTaskDefinitionIncompatibilityException",
        "PlatformUnknownException",
        "ValidationError",
        "ValidationException",
    }
)
LAGS = re.compile(
    r"service linked role|unable to assume|not authorized|is inactive|no container instances|capacity", re.IGNORECASE
)
"""Refusals that come with the code of an invalid parameter and heal: roles and capacity of an account's first use, and
a definition that another runner of the execution retired."""


def refused(operation: str, code: str, status: int, message: str, hidden: Iterable[str] = ()) -> LandlordError:
    """The error for one answer of AWS. `message`: its own text; `hidden`: what is not to be shown of it."""
    text = " ".join(redact(message, hidden).split()).rstrip(".")
    if code in CREDENTIALS:
        return NotAvailableYet(
            f"AWS does not accept the control plane's credentials ({operation}: {code}); renew them", code=code
        )
    if code in THROTTLED or status == 429:
        return Throttled(f"AWS asks for fewer calls ({operation}: {text})", code=code)
    if code in DENIED:
        needed = "sts:AssumeRole" if operation == "AssumeRole" else operation
        return NotAvailableYet(f"AWS does not allow {needed}; grant it to the role in use: {text}", code=code)
    if code in QUOTA:
        return NotAvailableYet(
            f"a quota of the AWS account is used up ({operation}); have it raised: {text}", code=code
        )
    if code == "ClusterNotFoundException":
        return NotAvailableYet(
            f"there is no such ECS cluster ({operation}); create it or name another: {text}", code=code
        )
    if code == "UnsupportedFeatureException":
        return Unsupported(f"ECS cannot do this in the account's region ({operation}): {text}", code=code)
    if code in INVALID and LAGS.search(message):
        return NotAvailableYet(f"ECS cannot do this yet ({operation}): {text}", code=code)
    if code in INVALID:
        return InvalidConfig(f"ECS refuses the config ({operation}): {text}", code=code)
    if status >= 500:
        return Unavailable(f"AWS cannot answer now ({operation}: {text})", code=code)
    return Retryable(f"AWS refused {operation}: {text}", code=code)
