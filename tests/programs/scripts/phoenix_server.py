"""Arize Phoenix: its server, started again and again: it keeps its connections."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

ports = []
for _ in range(2):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ports.append(listener.getsockname()[1])
environment = {
    **os.environ,
    "PHOENIX_SQL_DATABASE_URL": f"postgresql://{os.environ['PLACE']}?plugin=entra",
    "PHOENIX_HOST": "127.0.0.1",
    "PHOENIX_PORT": str(ports[0]),
    "PHOENIX_GRPC_PORT": str(ports[1]),
    "PHOENIX_WORKING_DIR": str(Path("phoenix").resolve()),
}
end, number = time.monotonic() + float(os.environ["SECONDS"]), 0
while time.monotonic() < end or number < 4:
    number += 1
    with subprocess.Popen([sys.executable, "-m", "phoenix.server.main", "serve"], env=environment) as server:
        try:
            limit = time.monotonic() + 90
            while True:
                time.sleep(0.5)
                with (
                    suppress(OSError),
                    urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/v1/projects", timeout=10) as answer,
                ):
                    assert b"default" in answer.read()
                    break
                assert time.monotonic() < limit
                assert server.poll() is None
        finally:
            server.terminate()
print("done")
