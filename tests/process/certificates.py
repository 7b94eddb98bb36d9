"""A throw-away authority, and what it issues."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@attrs.frozen
class Issued:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


def with_passphrase(key: Path) -> Path:
    """The same key in another file, which is of use only to who knows its passphrase."""
    locked = key.with_suffix(".locked")
    locked.write_bytes(
        serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
    )
    return locked


@attrs.frozen
class Authority:
    directory: Path
    name: str
    key: ec.EllipticCurvePrivateKey = attrs.field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def subject(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])

    def own(self) -> Path:
        return self._write(self.subject, self.key, [x509.BasicConstraints(ca=True, path_length=0)]).cert

    def issue(self, name: str, *, age: timedelta = timedelta(days=1)) -> Issued:
        """For `name` and for 127.0.0.1, valid for two days, of which `age` is over."""
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._write(subject, ec.generate_private_key(ec.SECP256R1()), [names], age)

    def _write(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: Sequence[x509.ExtensionType],
        age: timedelta = timedelta(days=1),
    ) -> Issued:
        begin = datetime.now(UTC) - age
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=2))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        stem = self.directory / f"{self.name} {subject.rfc4514_string()}"
        issued = Issued(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        certificate = builder.sign(self.key, hashes.SHA256())
        issued.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return issued
