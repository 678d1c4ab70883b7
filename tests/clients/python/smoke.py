"""A customer's program: it knows the API only by the package that openapi-python-client made from the document."""

import json
import sys

from landlord_generated.api.tenants import create_tenant, delete_tenant, get_tenant, update_tenant
from landlord_generated.client import AuthenticatedClient
from landlord_generated.models import (
    ComputeSpec,
    ComputeSpecConfig,
    Problem,
    TenantCreate,
    TenantCreateLabels,
    TenantOut,
    TenantPatch,
    TenantPatchLabelsType0,
    TenantSpec,
)

url, token = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token)

config = ComputeSpecConfig.from_dict({"image": "web:1"})
body = TenantCreate(
    name="from-python",
    labels=TenantCreateLabels.from_dict({"tier": "gold"}),
    spec=TenantSpec(compute=ComputeSpec(provider="cloud", config=config)),
)
made = create_tenant.sync(client=client, body=body)
assert isinstance(made, TenantOut), made
execution: str | None = made.workflow_execution_id

read = get_tenant.sync("from-python", client=client)
assert isinstance(read, TenantOut), read
tier: str = read.labels["tier"]

labels = TenantPatchLabelsType0.from_dict({"tier": None, "team": "blue"})
patched = update_tenant.sync("from-python", client=client, body=TenantPatch(labels=labels))
assert isinstance(patched, TenantOut), patched
team: str = patched.labels["team"]

missing = get_tenant.sync("nobody", client=client)
assert isinstance(missing, Problem), missing
never = delete_tenant.sync("nobody", client=client)
assert isinstance(never, Problem), never

print(json.dumps({"execution": execution, "tier": tier, "team": team, "code": missing.code, "deleted": never.code}))
