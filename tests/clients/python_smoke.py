"""`python python_smoke.py URL TOKEN`: what a user of the distribution does first. It imports nothing else of ours."""

import asyncio
import json
import sys
from contextlib import aclosing

from landlord_client import AsyncClient, Client, TenantExists, TenantNotFound

SPEC = {"compute": {"provider": "cloud", "config": {"image": "web:1"}}}


def blocking(url: str, token: str) -> dict[str, object]:
    with Client(url, token) as client:
        made = client.create_tenant({"name": "from-blocking", "labels": {"tier": "gold"}, "spec": SPEC})
        ready = client.wait_tenant(made.id, timeout=120)
        changed = client.update_tenant(made.name, {"labels": {"team": "blue"}}, if_match=ready.version)
        events = [event.type for event, _ in zip(client.watch(made.id, after=0), range(2), strict=False)]
        try:
            client.create_tenant({"name": made.name, "spec": SPEC})
        except TenantExists as problem:
            code = problem.code
        return {"status": ready.status, "labels": changed.labels, "events": events, "code": code}


async def awaited(url: str, token: str) -> dict[str, object]:
    async with AsyncClient(url, token) as client:
        made = await client.create_tenant({"name": "from-async", "spec": SPEC})
        ready = await client.wait_tenant(made.id, timeout=120)
        names = [tenant.name async for tenant in client.iterate_tenants(name_prefix="from-")]
        async with aclosing(client.watch(made.id, after=0)) as watching:
            first = await anext(watching)
        try:
            await client.get_tenant("nobody")
        except TenantNotFound as problem:
            code = problem.code
        return {"status": ready.status, "names": names, "first": first.type, "code": code}


if __name__ == "__main__":
    print(json.dumps({"blocking": blocking(*sys.argv[1:]), "async": asyncio.run(awaited(*sys.argv[1:]))}))
