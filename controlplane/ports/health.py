"""The health of a platform, an engine or the cluster: whether it answers."""

from dataclasses import dataclass

from controlplane.text import DETAIL, clean


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    healthy: bool
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", clean(self.detail, DETAIL))
