"""pgAdmin: a server whose password is a token that a command prints, connected again and again."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from serving import fetch, free_port, going_on, serving

server, _, rest = os.environ["PLACE"].partition(":")
pgadmin = Path(find_spec("pgadmin4").submodule_search_locations[0])
port = free_port()
url = f"http://127.0.0.1:{port}"
# pgAdmin imports these settings.
Path("config_local.py").write_text(
    f"""
SERVER_MODE = False
DATA_DIR = {str(Path("data").resolve())!r}
MASTER_PASSWORD_REQUIRED = False
USE_OS_SECRET_STORAGE = False
UPGRADE_CHECK_ENABLED = False
# For this test, which is no browser.
WTF_CSRF_ENABLED = False
""",
    "utf-8",
)
environment = {
    "PGADMIN_SERVER_MODE": "OFF",
    "PGADMIN_INT_PORT": str(port),
    "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(Path.cwd())]),
}
described = {
    "Name": "orders",
    "Group": "Servers",
    "Host": server,
    "Port": int(rest.partition("/")[0]),
    "MaintenanceDB": rest.partition("/")[2],
    "Username": os.environ["ROLE"],
    "ConnectionParameters": {"sslmode": "verify-full", "sslrootcert": os.environ["PGSSLROOTCERT"]},
    "PasswordExecCommand": f"{sys.executable} -m azure_postgresql_auth token --host %HOSTNAME%",
    "PasswordExecExpiration": 1,
}
Path("servers.json").write_text(json.dumps({"Servers": {"1": described}}), "utf-8")


def is_ready() -> None:
    """Ask for a page that needs no server."""
    fetch(f"{url}/misc/ping")


with serving([sys.executable, str(pgadmin / "pgAdmin4.py")], is_ready, environment):
    load = [sys.executable, str(pgadmin / "setup.py"), "load-servers", "servers.json"]
    subprocess.run(load, env={**os.environ, **environment}, check=True)
    for _ in going_on():
        connected = json.loads(fetch(f"{url}/browser/server/connect/1/1", b""))
        assert connected["success"], connected
        assert "orders" in str(fetch(f"{url}/browser/server/nodes/1/"))
        assert rest.partition("/")[2] in str(fetch(f"{url}/browser/database/nodes/1/1/"))
        assert json.loads(fetch(f"{url}/browser/server/connect/1/1", method="DELETE"))["success"]
print("done")
