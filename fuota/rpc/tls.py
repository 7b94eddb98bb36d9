"""TLS as gRPC wants it: HTTP/2 by ALPN, TLS 1.2 or newer."""

import ssl
from pathlib import Path


class CertificateError(Exception):
    """A certificate or key file can not be used."""


def server_context(tls_cert: Path, tls_key: Path, ca_cert: Path | None) -> ssl.SSLContext:
    """For a server with this certificate (PEM); with a `ca_cert`, clients must show one that it has signed.

    Raises `CertificateError`, which names the file.
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
    if ca_cert is not None:
        try:
            context.load_verify_locations(ca_cert)
        except OSError as error:
            raise CertificateError(f"ca_cert {ca_cert}: {_reason(error)}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context() -> ssl.SSLContext:
    """For a client that trusts the authorities of the system (SSL_CERT_FILE and SSL_CERT_DIR name others)."""
    return _context(ssl.Purpose.SERVER_AUTH)


def _context(purpose: ssl.Purpose) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose)
    context.set_alpn_protocols(["h2"])
    # Python 3.13 refuses what home-made authorities issue: certificates without a key identifier
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _reason(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or str(error)
