"""Orphans: resources with our owner label that no row knows. Reported at once, removed only by policy."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from controlplane.ports import Resource

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Orphans:
    """The orphans that one supervisor has seen. `grace`: seconds after which an orphan may be removed; None: never.
    They count from the moment when this supervisor first sees it."""

    grace: float | None
    clock: Callable[[], float] = time.monotonic
    _since: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        return sorted(id for _, id in self._since)

    def seen(self, provider: str, found: Collection[Resource]) -> tuple[list[Resource], list[Resource]]:
        """Note all orphans that one provider holds now. Returns the new ones, and those whose grace is over."""
        now = self.clock()
        fresh = [resource for resource in found if (provider, resource.id) not in self._since]
        for resource in fresh:
            self._since[provider, resource.id] = now
            execution = resource.origin.execution_id
            logger.warning("orphan: %s %s has our label; no row knows %s", provider, resource.name, execution)
        there = {resource.id for resource in found}
        self._since = {key: at for key, at in self._since.items() if key[0] != provider or key[1] in there}
        if self.grace is None:
            return fresh, []
        return fresh, [r for r in found if now - self._since[provider, r.id] >= self.grace]
