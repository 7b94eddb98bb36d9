"""A server that can not start yet: it waits, says once why, and can be stopped."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest
import trio

# nobody listens on port 1
CONFIGURATION = """
[postgresql]
dsn = "postgres://fuota@127.0.0.1:1/fuota"
[application_server.event_handler.http]
bind = "127.0.0.1:0"
[fuota_server.api]
bind = "127.0.0.1:0"
[debug]
bind = "127.0.0.1:0"
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_that_waits_for_its_database_can_be_stopped(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "fuota.toml").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "fuota", "serve", "-c", "fuota.toml"]
    said = b""
    with trio.fail_after(30):
        process = await trio.lowlevel.open_process(
            command, cwd=tmp_path, stderr=-1, env=os.environ | {"HOME": str(tmp_path)}
        )
        assert process.stderr is not None
        async for chunk in process.stderr:
            waited, said = b"waiting" in said, said + chunk
            if not waited and b"waiting" in said:
                process.send_signal(number)
        await process.wait()
    assert process.returncode == 0
    assert len(re.findall(rb"waiting for the database", said)) == 1
    assert b"Traceback" not in said
