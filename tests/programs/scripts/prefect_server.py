"""Prefect: its server, without the event listener that connects by asyncpg itself, and a flow."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

with socket.create_server(("127.0.0.1", 0)) as listener:
    port = listener.getsockname()[1]
os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
environment = {
    **os.environ,
    "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{os.environ['PLACE']}?plugin=entra",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_RECYCLE": "1",
    "PREFECT_SERVER_UI_ENABLED": "false",
}
command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
with subprocess.Popen(command, env=environment) as server:
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and server.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5):
                break
            time.sleep(0.5)

        from prefect import flow

        @flow
        def double(number: int) -> int:
            """Be a flow."""
            return 2 * number

        end, number = time.monotonic() + float(os.environ["SECONDS"]), 0
        while time.monotonic() < end:
            number += 1
            assert double(number) == 2 * number
        with urllib.request.urlopen(
            urllib.request.Request(
                f"http://127.0.0.1:{port}/api/flow_runs/count", b"{}", {"Content-Type": "application/json"}
            ),
            timeout=20,
        ) as answer:
            assert int(answer.read()) == number
    finally:
        server.terminate()
    server.wait(60)
print("done")
