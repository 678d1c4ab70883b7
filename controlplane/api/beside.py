"""Work that a client can make large runs in a thread, beside the loop: the requests of others go on meanwhile."""

import asyncio
import json
from collections.abc import Callable
from typing import TypeVar

from controlplane.model import TenantSpec

T = TypeVar("T")

LIGHT = 16 * 1024
"""Up to so many bytes of JSON are worked through on the loop: a thread would cost more than the work."""


async def beside(weight: int, work: Callable[[], T]) -> T:
    """The result of `work`, which only computes. `weight`: bytes of JSON that it goes through. Raises its errors."""
    return work() if weight <= LIGHT else await asyncio.to_thread(work)


def weight(*specs: TenantSpec) -> int:
    return sum(len(json.dumps(spec.compute.config)) for spec in specs)
