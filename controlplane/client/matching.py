"""A watch of the tenants that a label selector selects. The API's watch knows names only, so the client selects."""

from collections.abc import Iterator, Sequence

from controlplane.client.documents import WatchDocument
from controlplane.client.history import UNAVAILABLE, WATCH_PATIENCE_SECONDS, History
from controlplane.client.tenants import Tenants
from controlplane.client.wire import BETWEEN_TRIES_SECONDS, Unreachable
from controlplane.errors import Refused

RELABELLED = frozenset({"tenant.created", "tenant.updated", "tenant.metadata_changed"})
"""The events after which a tenant may have other labels."""


class Matching(Tenants, History):
    """The calls of `Client` that need tenants and their events."""

    def watch_matching(self, selector: Sequence[str], *, after: int | None = None) -> Iterator[WatchDocument]:
        """As `watch` of all tenants, but only the events of tenants whose labels match, now or by a later change. The
        event by which a tenant ceases to match is the first that is left out; a deleted tenant's events are shown to
        the end."""
        if after is None:
            # Where the watch begins is fixed before the tenants are read: who is labelled in between has its event.
            newest = self.list_events(limit=1)["items"]
            after = newest[0]["id"] if newest else None
        matching = {tenant["name"] for tenant in self.iterate_tenants(selector=selector)}
        for event in self.watch(after=after):
            name = event["tenant"]
            if name is None:
                continue
            if event["type"] in RELABELLED:
                if self._matches(name, selector):
                    matching.add(name)
                else:
                    matching.discard(name)
            if name in matching:
                yield event

    def _matches(self, name: str, selector: Sequence[str]) -> bool:
        """Patient, like the watch itself, while the server restarts."""
        deadline = self._clock() + WATCH_PATIENCE_SECONDS
        while True:
            try:
                # By name, so the one that is called exactly so comes first.
                found = self.list_tenants(selector=selector, name_prefix=name, limit=1)["items"]
                return bool(found) and found[0]["name"] == name
            except (Unreachable, Refused) as error:
                if (isinstance(error, Refused) and error.status != UNAVAILABLE) or self._clock() > deadline:
                    raise
            self._sleep(BETWEEN_TRIES_SECONDS)
