"""What is found wrong with the files of TLS before anybody connects."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fuota.rpc.tls import CertificateError, client_context, server_context
from tests.process.certificates import Authority, with_passphrase


def test_bad_files_are_named(authority: Authority, tmp_path: Path) -> None:
    server, other = authority.issue("localhost"), authority.issue("other")
    missing, empty = tmp_path / "missing.crt", tmp_path / "empty.crt"
    empty.touch()
    with pytest.raises(CertificateError, match=r"tls_cert .*missing\.crt.*: No such file"):
        server_context(missing, server.key, None)
    with pytest.raises(CertificateError, match=r"tls_cert .*, tls_key .*other\.key: KEY_VALUES_MISMATCH"):
        server_context(server.cert, other.key, None)
    with pytest.raises(CertificateError, match=r"ca_cert .*missing\.crt: No such file"):
        server_context(server.cert, server.key, missing)
    with pytest.raises(CertificateError, match=r"ca_cert .*empty\.crt: "):
        server_context(server.cert, server.key, empty)


def test_nobody_is_asked_for_a_passphrase(authority: Authority) -> None:
    server = authority.issue("localhost")
    locked = with_passphrase(server.key)
    with pytest.raises(CertificateError, match=r"tls_key .*\.locked: must be a key without a passphrase"):
        server_context(server.cert, locked, None)


@pytest.mark.parametrize(
    ("age", "event", "when", "is_in"),
    [
        (3, "the certificate has expired", "expired_on", -1),
        (-1, "the certificate is not valid yet", "valid_from", 1),
    ],
)
def test_a_certificate_whose_time_it_is_not_is_warned_of(
    authority: Authority, age: int, event: str, when: str, is_in: int
) -> None:
    server = authority.issue("localhost", age=timedelta(days=age))
    with capture_logs() as told:
        server_context(server.cert, server.key, None)
    [line] = told
    assert (line["event"], line["log_level"], line["tls_cert"]) == (event, "warning", str(server.cert))
    expected = datetime.now(UTC) + timedelta(days=is_in)
    assert abs(datetime.fromisoformat(line[when]) - expected) < timedelta(minutes=1)


def test_a_certificate_whose_time_it_is_is_not_warned_of(authority: Authority) -> None:
    server = authority.issue("localhost")
    with capture_logs() as told:
        server_context(server.cert, server.key, None)
    assert not told


def test_a_file_of_authorities_that_is_of_no_use_is_warned_of(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.crt"
    empty.touch()
    for path, why in (
        (tmp_path / "missing.crt", "No such file or directory"),
        (empty, "NO_CERTIFICATE_OR_CRL_FOUND"),
        (authority.own(), None),
    ):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with capture_logs() as told:
            client_context()
        seen = [(line["event"], line["file"], line["why"]) for line in told]
        assert seen == ([("SSL_CERT_FILE names no authorities", str(path), why)] if why else [])
