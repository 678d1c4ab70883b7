"""What of a compose service has no place in a spec, and what to do about it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Leftover:
    """`key`: dotted, from the service on: `networks`, `ports.0.host_ip`. `instead`: what holds, or what to do."""

    key: str
    instead: str


@dataclass(slots=True)
class Leftovers:
    """Those of one service, in the order in which they are found."""

    service: str
    found: list[Leftover] = field(default_factory=list)

    def add(self, key: str, instead: str) -> None:
        self.found.append(Leftover(key, instead))

    def key(self, name: str) -> str:
        """With its place in the file, for an error."""
        return f"services.{self.service}.{name}"
