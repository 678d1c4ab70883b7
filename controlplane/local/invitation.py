"""What a machine needs from the head before it may join: the token between the processes of Ray, and a certificate for
its address. One file, made on the head, carried by a person: whoever has it may run code on the cluster."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from controlplane.errors import SettingsError
from controlplane.local.authority import NodeCertificates
from controlplane.local.paths import Home, write_private


@dataclass(frozen=True)
class Invitation:
    """`address`: of the machine that is invited. Without TLS between the nodes the last three are None."""

    address: str
    ray_token: str
    authority: str | None = None
    certificate: str | None = None
    key: str | None = None

    @classmethod
    def make(cls, home: Home, address: str, *, tls: bool) -> "Invitation":
        """Raises SettingsError if this home is not the head of a cluster that others may join."""
        try:
            token = home.ray_token.read_text().strip()
        except OSError as error:
            raise SettingsError(
                f"{home.ray_token} cannot be read: {error.strerror}; start with `landlord up`"
            ) from None
        if not tls:
            return cls(address, token)
        certificates = NodeCertificates(home.nodes)
        certificate, key = certificates.issue(address)
        return cls(address, token, certificates.authority.read_text(), certificate, key)

    def write(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, file: Path) -> "Invitation":
        """Raises SettingsError."""
        try:
            content = json.loads(file.read_text())
            return cls(**{field.name: content[field.name] for field in dataclasses.fields(cls)})
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it was not made by `landlord node invite`"
            raise SettingsError(f"{file} is no invitation: {reason}") from None

    def accept(self, home: Home) -> None:
        """Keep it in this machine's home, from where each further join takes it."""
        write_private(home.ray_token, self.ray_token)
        if self.certificate is not None and self.key is not None:
            NodeCertificates(home.nodes).keep(self.certificate, self.key, self.authority)
