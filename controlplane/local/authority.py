"""The certificates with which the machines of a cluster know each other. The head's home holds an authority of its own,
which signs one certificate for each machine, good for that machine's address alone. Its key never leaves that home."""

import ipaddress
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controlplane.errors import SettingsError
from controlplane.local.paths import private_directory, write_private

AUTHORITY_DAYS = 3650
NODE_DAYS = 730
RENEWED_DAYS = 60
"""A certificate that ends sooner is replaced at the next start."""
LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class NodeCertificates:
    """The files of one home, PEM, all in one private directory."""

    directory: Path

    @property
    def authority(self) -> Path:
        """The authority's certificate: by it a client trusts the API on a node's address."""
        return self.directory / "ca.pem"

    @property
    def authority_key(self) -> Path:
        return self.directory / "ca.key"

    @property
    def certificate(self) -> Path:
        return self.directory / "node.pem"

    @property
    def key(self) -> Path:
        return self.directory / "node.key"

    @property
    def pair(self) -> Path:
        """Certificate and key in one file, for HAProxy."""
        return self.directory / "node-pair.pem"

    def prepare_head(self, address: str) -> None:
        """Make the authority unless it is there, and this machine's certificate unless it is good for the address."""
        private_directory(self.directory)
        if not self.authority_key.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            # A name of its own: in a file with two authorities, OpenSSL finds the one that signed by its name.
            name = _name(f"Landlord's nodes {secrets.token_hex(4)}")
            made = (
                _builder(name, name, key.public_key(), AUTHORITY_DAYS)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .sign(key, hashes.SHA256())
            )
            write_private(self.authority, _text(made))
            write_private(self.authority_key, _key_text(key))
            # Of another head's authority, which this machine had joined.
            self.certificate.unlink(missing_ok=True)
        if not self._good_for(address):
            self.keep(*self.issue(address))

    def issue(self, address: str) -> tuple[str, str]:
        """A certificate for the machine of this address, and its key. Raises SettingsError if there is no authority."""
        try:
            authority = x509.load_pem_x509_certificate(self.authority.read_bytes())
            signing = serialization.load_pem_private_key(self.authority_key.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{self.authority_key} cannot be read ({error}): this home is not the head of a cluster with TLS"
            ) from None
        assert isinstance(signing, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        addresses = dict.fromkeys((address, *LOOPBACK))
        names = [*(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses), x509.DNSName("localhost")]
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = (
            _builder(_name(address), authority.subject, key.public_key(), NODE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .sign(signing, hashes.SHA256())
        )
        return _text(made), _key_text(key)

    def keep(self, certificate: str, key: str, authority: str | None = None) -> None:
        """Make these this machine's. `authority`: of another home; one of this home is none any more, since what it
        would sign from now on the other machines do not trust."""
        private_directory(self.directory)
        if authority is not None:
            self.authority_key.unlink(missing_ok=True)
            write_private(self.authority, authority)
        write_private(self.certificate, certificate)
        write_private(self.key, key)
        write_private(self.pair, certificate + key)

    def require(self, address: str) -> None:
        """Raises SettingsError unless there is a certificate for this address that has not ended."""
        try:
            found = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except (OSError, ValueError):
            raise SettingsError(
                f"this machine has no certificate: `landlord node invite {address}` on the head makes one"
            ) from None
        if not _names(found, address):
            raise SettingsError(f"LANDLORD_NODE_ADDRESS: {self.certificate} is not for {address}: invite that address")
        if found.not_valid_after_utc < datetime.now(UTC):
            raise SettingsError(f"{self.certificate} has ended: `landlord node invite {address}` makes another one")

    def _good_for(self, address: str) -> bool:
        try:
            found = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except (OSError, ValueError):
            return False
        lasting = found.not_valid_after_utc - datetime.now(UTC) > timedelta(days=RENEWED_DAYS)
        return lasting and _names(found, address) and self.pair.exists()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # Clocks of two machines differ.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _names(certificate: x509.Certificate, address: str) -> bool:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return ipaddress.ip_address(address) in names.get_values_for_type(x509.IPAddress)


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
