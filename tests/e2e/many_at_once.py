"""An operator's script for Ray's client: four workers make resources on the shared fake cloud at the same time, then
one lists and removes them.

It is a module, so that each run of the suite imports what it names; `test_fake.py` sends its text.
"""

import asyncio
import json
import sys
import time

import ray

from actors.shared import SharedState
from providers.compute.fake import FakeCompute
from providers.conformance.compute_bench import Gate, desire

OWNER = "test-many"
WORKERS = 4


@ray.remote(num_cpus=0)
def make(first: int, last: int) -> tuple[list[str], float]:
    """Where and as an actor would: in a process of its own, on the handle that the composition root injects.

    Returns the ids, and the seconds that it took."""

    async def main() -> tuple[list[str], float]:
        provider, begun = FakeCompute(SharedState("fake")), time.monotonic()

        async def one(number: int) -> str:
            return (await provider.apply(desire(OWNER, {}, tenant=f"t-{number}"), Gate())).id

        made = await asyncio.gather(*(one(number) for number in range(first, last)))
        return made, time.monotonic() - begun

    return asyncio.run(main())


@ray.remote(num_cpus=0)
def all_of_them(destroy: bool) -> tuple[list[str], float]:
    """Their ids, and the seconds that the list took."""

    async def main() -> tuple[list[str], float]:
        provider, begun = FakeCompute(SharedState("fake")), time.monotonic()
        listed = [resource.id for resource in await provider.list_owned(OWNER)]
        seconds = time.monotonic() - begun
        if destroy:
            await asyncio.gather(*(provider.destroy(id) for id in listed))
        return listed, seconds

    return asyncio.run(main())


if __name__ == "__main__":
    ray.init(sys.argv[1], namespace="landlord", log_to_driver=False)
    count = int(sys.argv[2])
    shares = [(n * count // WORKERS, (n + 1) * count // WORKERS) for n in range(WORKERS)]
    done = ray.get([make.remote(*share) for share in shares])
    made = {id for ids, _ in done for id in ids}
    listed, listing = ray.get(all_of_them.remote(True))
    left, _ = ray.get(all_of_them.remote(False))
    seconds = {"apply": max(seconds for _, seconds in done), "list": listing}
    found = {"made": len(made), "listed": set(listed) == made, "left": len(left)}
    print(json.dumps(found | {"seconds": seconds}))
