"""The health of a platform, an engine or the cluster: whether it answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    healthy: bool
    detail: str = ""
