"""The reach of a token: which tenants it sees and changes. All others do not exist for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.model.selector import Requirement, parse_selector


@dataclass(frozen=True, slots=True)
class Reach:
    """The tenants whose name begins with `prefix` and whose labels meet all of `selector`. Without either: all."""

    prefix: str = ""
    selector: tuple[Requirement, ...] = ()
    written: str = ""
    """The selector as a person wrote it."""

    @classmethod
    def of(cls, prefix: str = "", selector: str = "") -> "Reach":
        """Raises ValueError if that is no label selector."""
        return cls(prefix, parse_selector(selector) if selector else (), selector)

    @property
    def everything(self) -> bool:
        return not self.prefix and not self.selector

    def includes(self, name: str, labels: Mapping[str, str]) -> bool:
        return name.startswith(self.prefix) and all(one.matches(labels) for one in self.selector)

    def __str__(self) -> str:
        """For a sentence: `tenants named acme-… with the labels tier=gold`."""
        named = f" named {self.prefix}…" if self.prefix else ""
        labelled = f" with the labels {self.written}" if self.selector else ""
        return f"tenants{named}{labelled}" if named or labelled else "all tenants"


EVERYTHING = Reach()
