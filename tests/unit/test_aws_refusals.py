"""The table of what AWS's refusals mean, for each service that is spoken to."""

import pickle

import botocore.session
import pytest

from controlplane.errors import (
    InvalidConfig,
    LandlordError,
    NotAvailableYet,
    Retryable,
    Terminal,
    Throttled,
    Unavailable,
    Unsupported,
)
from providers.aws.refusals import MEANINGS, refused

SPOKEN = {
    "ecs": "CreateService UpdateService DeleteService DescribeServices ListServices ListClusters DescribeTasks "
    "ListTasks RegisterTaskDefinition DeregisterTaskDefinition DescribeTaskDefinition ListTaskDefinitions "
    "ListTaskDefinitionFamilies",
    "stepfunctions": "StartExecution StopExecution DescribeExecution GetExecutionHistory ListStateMachines "
    "CreateStateMachine UpdateStateMachine DescribeStateMachine SendTaskHeartbeat SendTaskSuccess SendTaskFailure",
    "sqs": "ReceiveMessage DeleteMessage ChangeMessageVisibility GetQueueAttributes",
    "sts": "AssumeRole GetCallerIdentity",
    "ssm": "PutParameter DeleteParameters GetParametersByPath",
}
"""The operations that we call."""

HEALING = {
    NotAvailableYet: "AccessDenied AccessDeniedException AuthorizationError ExpiredToken ExpiredTokenException "
    "IncompleteSignature InvalidClientTokenId InvalidSecurity InvalidSignatureException KmsAccessDenied "
    "MissingAuthenticationToken RequestExpired SignatureDoesNotMatch UnauthorizedOperation "
    "UnrecognizedClientException ExecutionLimitExceeded LimitExceededException OverLimit "
    "ServiceQuotaExceededException QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue "
    "ClusterNotFoundException",
    Throttled: "KmsThrottled RequestLimitExceeded RequestThrottled SlowDown Throttling ThrottlingException "
    "TooManyRequestsException",
}


@pytest.mark.parametrize("service", SPOKEN)
def test_every_refusal_that_aws_documents_for_our_calls_is_in_the_table(service: str) -> None:
    model = botocore.session.get_session().get_service_model(service)
    codes = {
        shape.error_code
        for operation in SPOKEN[service].split()
        for shape in model.operation_model(operation).error_shapes
    }
    assert codes
    assert codes - set(MEANINGS) == set()


@pytest.mark.parametrize(("kind", "code"), [(kind, code) for kind, codes in HEALING.items() for code in codes.split()])
@pytest.mark.parametrize("operation", ["CreateService", "SendTaskSuccess", "ReceiveMessage", "AssumeRole"])
def test_credentials_rights_quotas_and_throttling_are_never_terminal(
    operation: str, kind: type[LandlordError], code: str
) -> None:
    assert type(refused(operation, code, 400, "whatever the text says: invalid")) is kind


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken", "ReceiptHandleIsInvalid"])
def test_a_token_or_message_that_is_over_is_terminal(code: str) -> None:
    assert type(refused("SendTaskHeartbeat", code, 400, "gone")) is Terminal


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            "Too many concurrent attempts to create a new revision of the specified family.",
            NotAvailableYet,
        ),
        ("Unable to assume the service linked role. Please try again.", NotAvailableYet),
        ("A text that nobody has seen yet.", NotAvailableYet),
        ("Invalid setting for container 'web'. At least one of 'memory' must be specified.", InvalidConfig),
        ("No Fargate configuration exists for given values.", InvalidConfig),
        ("Container.image should not be null or empty.", InvalidConfig),
        ("The 'memory' setting for container is too large.", InvalidConfig),
    ],
)
def test_a_client_exception_is_judged_by_its_text_and_heals_where_that_says_nothing(
    message: str, kind: type[LandlordError]
) -> None:
    assert type(refused("RegisterTaskDefinition", "ClientException", 400, message)) is kind


def test_a_server_that_fails_is_unavailable_whatever_its_code() -> None:
    assert type(refused("CreateService", "InvalidParameterException", 500, "x")) is Unavailable
    assert type(refused("ReceiveMessage", "SlowDown", 503, "x")) is Throttled


@pytest.mark.parametrize(
    ("code", "status", "message", "kind", "told"),
    [
        ("ThrottlingException", 400, "Rate exceeded.", Throttled, "fewer calls (CreateService: Rate exceeded)"),
        ("Whatever", 429, "slow", Throttled, "fewer calls"),
        ("ExpiredTokenException", 400, "quoted-token", NotAvailableYet, "renew them"),
        ("AccessDeniedException", 400, "not allowed", NotAvailableYet, "does not allow CreateService; grant it"),
        ("LimitExceededException", 400, "too many", NotAvailableYet, "have it raised: too many"),
        ("ClusterNotFoundException", 400, "Cluster not found.", NotAvailableYet, "create it or name another"),
        ("ClientException", 400, "No Container Instances were found", NotAvailableYet, "cannot do this yet"),
        ("ClientException", 400, "TaskDefinition not found.", InvalidConfig, "refuses the config"),
        ("PlatformUnknownException", 400, "no such platform", InvalidConfig, "refuses the config"),
        (
            "UnsupportedFeatureException",
            400,
            "not in this Region.",
            Unsupported,
            "cannot do this in the account's region",
        ),
        ("ServiceUnavailable", 503, "busy", Unavailable, "cannot answer now"),
        ("Novelty", 400, "hm", Retryable, "AWS refused CreateService: hm"),
    ],
)
def test_refusals(code: str, status: int, message: str, kind: type[LandlordError], told: str) -> None:
    error = refused("CreateService", code, status, message)
    assert type(error) is kind
    assert told in error.message
    assert "quoted-token" not in error.message
    assert error.fields["code"] == code
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
