"""The container's health check against a real HTTP server."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "healthcheck.py"


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that has one answer to GET /healthz; its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(b"postgresql: no connection")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the console."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def check(bind: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {"HOME": str(cwd), "DEBUG__BIND": bind, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, str(SCRIPT)]
    return subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", ""])
def test_healthy(tmp_path: Path, host: str) -> None:
    with answering(200) as port:
        assert check(f"{host}:{port}", tmp_path).returncode == 0


def test_a_server_that_ails_is_not_to_be_replaced(tmp_path: Path) -> None:
    with answering(503) as port:
        answer = check(f"127.0.0.1:{port}", tmp_path)
    assert (answer.returncode, answer.stdout) == (0, "503: postgresql: no connection\n")


def test_what_does_not_know_healthz_is_not_our_server(tmp_path: Path) -> None:
    with answering(404) as port:
        answer = check(f"127.0.0.1:{port}", tmp_path)
    assert (answer.returncode, answer.stderr) == (1, "404: postgresql: no connection\n")


def test_no_server(tmp_path: Path) -> None:
    with answering(200) as port:
        pass
    answer = check(f"127.0.0.1:{port}", tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"no answer at 127.0.0.1:{port}: ")
