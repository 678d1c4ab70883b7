"""The client has what the API has: a method an operation, a model an answer, a class a problem code."""

import inspect
import json

from controlplane.api.problem import CODES
from landlord_client import AsyncClient, Client, Problem, errors, history, installation, models, tenants
from landlord_client import exchange as exchange_of_operations
from tests.pages import ROOT


def test_each_problem_code_has_its_class_of_its_status() -> None:
    assert set(errors.BY_CODE) == set(CODES), "each code has a class in landlord_client/errors.py"
    for code, kind in errors.BY_CODE.items():
        status = CODES[code][0]
        assert issubclass(kind, errors.BY_STATUS.get(status, Problem)), code
    assert len(set(errors.BY_CODE.values())) == len(errors.BY_CODE)


def test_each_operation_is_a_method_of_both_clients_with_its_text_and_signature() -> None:
    skipped = set(vars(exchange_of_operations))
    operations = {
        name: operation
        for module in (tenants, history, installation)
        for name, operation in vars(module).items()
        if inspect.isfunction(operation) and not name.startswith("_") and name not in skipped
    }
    for kind in (Client, AsyncClient):
        methods = {name: one for name, one in vars(kind).items() if hasattr(one, "__signature__")}
        assert set(methods) == set(operations)
        for name, operation in operations.items():
            assert methods[name].__doc__ == operation.__doc__
            assert methods[name].__name__ == name
            own = list(inspect.signature(methods[name]).parameters)
            assert own == ["self", *inspect.signature(operation).parameters]
    assert list(inspect.signature(Client("https://x.test", "t").get_tenant).parameters) == ["name"]


def test_each_model_has_the_fields_of_the_document() -> None:
    """Of those that answers have; what the client only sends are plain mappings."""
    schemas = json.loads((ROOT / "docs" / "openapi.json").read_text())["components"]["schemas"]
    names = {
        "ChangeOut": "Change",
        "CommandOut": "CommandEnd",
        "ComputeProviderOut": "ComputeProvider",
        "ConditionOut": "Condition",
        "ConsistencyOut": "Consistency",
        "DifferenceOut": "Difference",
        "EndpointOut": "Endpoint",
        "EventOut": "Event",
        "ExecutionOut": "Execution",
        "HeadOut": "TrailHead",
        "NodeDrainOut": "NodeDrain",
        "NodeOut": "Node",
        "NodePlatformOut": "NodePlatform",
        "NodesOut": "Nodes",
        "NoteOut": "Note",
        "ObservedOut": "Observed",
        "Pauses": "Pauses",
        "PlanOut": "Plan",
        "ProvidersOut": "Providers",
        "StepOut": "Step",
        "TenantOut": "Tenant",
        "TokenCreated": "NewToken",
        "TokenOut": "Token",
        "TrailOut": "Trail",
        "WatchEvent": "WatchEvent",
        "WorkflowOut": "Workflow",
        "WorkflowProviderOut": "WorkflowProvider",
    }
    for schema, name in names.items():
        assert set(schemas[schema]["properties"]) == set(getattr(models, name).model_fields), name
    # `alive`, readiness and lists aside, no answer is without its model.
    asides = {
        "Alive",
        "CheckOut",
        "Readiness",
        "EventPage",
        "ExecutionPage",
        "ExecutionSummary",
        "TenantPage",
        "TokenPage",
    }
    answers = {name for name in schemas if name.endswith(("Out", "Page", "Summary", "Created", "Event", "Pauses"))}
    assert answers - asides == set(names)
