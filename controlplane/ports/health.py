"""Does a platform, an engine or the cluster answer?"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    healthy: bool
    detail: str = ""
