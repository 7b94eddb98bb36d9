"""TLS as gRPC wants it: HTTP/2 by ALPN, TLS 1.2 or newer."""

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509

log = structlog.get_logger(__name__)


class CertificateError(Exception):
    """A certificate or key file can not be used."""


def server_context(tls_cert: Path, tls_key: Path, ca_cert: Path | None) -> ssl.SSLContext:
    """For a server with this certificate (PEM); with a `ca_cert`, clients must show one that it has signed.

    Raises `CertificateError`, which names the file. A certificate whose time it is not is warned of.
    """

    def passphrase() -> str:
        raise CertificateError(
            f"tls_key {tls_key}: must be a key without a passphrase: nobody is asked for it"
        )

    context = _context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls_cert, tls_key, passphrase)
    except OSError as error:
        raise CertificateError(f"tls_cert {tls_cert}, tls_key {tls_key}: {_reason(error)}") from error
    _warn_of_its_time(tls_cert)
    if ca_cert is not None:
        try:
            context.load_verify_locations(ca_cert)
        except OSError as error:
            raise CertificateError(f"ca_cert {ca_cert}: {_reason(error)}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context() -> ssl.SSLContext:
    """For a client that trusts the authorities of the system (SSL_CERT_FILE and SSL_CERT_DIR name others)."""
    context = _context(ssl.Purpose.SERVER_AUTH)
    if named := os.environ.get("SSL_CERT_FILE"):
        try:
            context.load_verify_locations(named)  # once more, for OpenSSL says nothing of one that is no use
        except OSError as error:
            log.warning("SSL_CERT_FILE names no authorities", file=named, why=_reason(error))
    return context


def _context(purpose: ssl.Purpose) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose)
    context.set_alpn_protocols(["h2"])
    # Python 3.13 refuses what home-made authorities issue: certificates without a key identifier
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _warn_of_its_time(tls_cert: Path) -> None:
    """Clients refuse a certificate whose time it is not; to us it may be a clock that has yet to be set."""
    try:
        certificate, *_ = x509.load_pem_x509_certificates(tls_cert.read_bytes())
    except ValueError:  # stricter than OpenSSL, which has read it
        return
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        log.warning(
            "the certificate has expired",
            tls_cert=str(tls_cert),
            expired_on=f"{certificate.not_valid_after_utc:%FT%TZ}",
        )
    elif certificate.not_valid_before_utc > now:
        log.warning(
            "the certificate is not valid yet",
            tls_cert=str(tls_cert),
            valid_from=f"{certificate.not_valid_before_utc:%FT%TZ}",
        )


def _reason(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or str(error)
