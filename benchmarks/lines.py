"""A benchmark's own line of several samples."""

import statistics
from collections.abc import Sequence
from typing import Any


def line(metric: str, samples: Sequence[float], floor: float | None, **more: Any) -> dict[str, Any]:
    """Milliseconds. `floor`: the median of the same work without Landlord, or of its peer."""
    ordered = sorted(samples)
    p50 = statistics.median(ordered)
    found: dict[str, Any] = {
        "metric": metric,
        "unit": "ms",
        "n": len(ordered),
        "p50": round(p50, 2),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 2),
        **more,
    }
    if floor is not None:
        found |= {"floor_p50": round(floor, 2), "ratio": round(p50 / floor, 2), "above_floor": round(p50 - floor, 2)}
    return found
