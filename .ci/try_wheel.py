"""Try a wheel on an interpreter of any platform: `try_wheel.py WHEEL [COMMAND...]`, where COMMAND runs that CPython.

Import, a token from an identity endpoint, a fork that fetches its own, and an exit while a fetch is under way. The
wheel is unpacked and needs nothing else; the endpoint is served from here, so COMMAND may be an emulator's.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

USER = "mi-wheel"
SCRIPT = """
import os, platform, sys, sysconfig, threading, urllib.request
from azure_postgresql_auth import core, identity

def user():
    return core.get_entra_conninfo(identity.ManagedIdentityCredential())["user"]

assert user() == sys.argv[1]
if hasattr(os, "fork"):
    child = os.fork()
    if not child:
        assert user() == sys.argv[1]
        sys.exit()
    assert os.waitpid(child, 0) == (child, 0)
# Our module does without the GIL; another one would have Python turn it on.
assert not sysconfig.get_config_var("Py_GIL_DISABLED") or not sys._is_gil_enabled()
hanging = identity.ManagedIdentityCredential()
threading.Thread(target=hanging.get_token, args=("https://hanging/.default",), daemon=True).start()
urllib.request.urlopen(os.environ["IDENTITY_ENDPOINT"] + "/hanging").read()
print("CPython", platform.python_version(), platform.machine(), "fork" if hasattr(os, "fork") else "no fork")
"""


class Endpoint(BaseHTTPRequestHandler):
    """Managed identity as App Service serves it."""

    hanging = threading.Event()
    over = threading.Event()
    tokens = 0

    def do_GET(self) -> None:
        """Answer with a token, or not at all."""
        url = urlsplit(self.path)
        if url.path.endswith("/hanging"):
            self.hanging.wait(60)
            self._answer({})
        elif "hanging" in parse_qs(url.query)["resource"][0]:
            self.hanging.set()
            self.over.wait(120)
        else:
            type(self).tokens += 1
            expires = int(time.time()) + 3600
            claims = {
                "xms_mirid": f"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{USER}",
                "exp": expires,
            }
            token = ".".join(map(_segment, ({"alg": "none"}, claims, {})))
            self._answer({"access_token": token, "expires_on": str(expires), "token_type": "Bearer"})

    def _answer(self, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def _segment(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def main(wheel: str, *command: str) -> int:
    """Try it; return the interpreter's exit code."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server, tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with ZipFile(wheel) as archive:
            archive.extractall(folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "PYTHON"))}
        environment |= {
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9",
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{server.server_port}/msi/token",
            "IDENTITY_HEADER": "header",
            "PYTHONPATH": folder,
        }
        script = Path(folder) / "try_wheel_script.py"
        script.write_text(SCRIPT, "utf-8")
        done = subprocess.run(  # noqa: S603
            [*(command or (sys.executable,)), str(script), USER], env=environment, check=False, timeout=300
        )
        Endpoint.over.set()
        server.shutdown()
    sys.stdout.write(f"exit code {done.returncode}, {Endpoint.tokens} token requests\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
