"""Prefect: its server and a flow, by URL, and with a password file that also serves its listener for changes."""

import os
import sys

from serving import fetch, free_port, going_on, query, serving

port = free_port()
os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
from prefect import flow  # noqa: E402 - it reads the variable

url = f"postgresql+asyncpg://{os.environ['PLACE']}"
settings = {"PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_RECYCLE": "1", "PREFECT_SERVER_UI_ENABLED": "false"}
passfile = ["--file", "pgpass", "--host", os.environ["PLACE"].partition(":")[0]]
pgpass = [sys.executable, "-m", "azure_postgresql_auth", "pgpass", *passfile, "--"]
prefect = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
JSON = {"Content-Type": "application/json"}


@flow
def double(number: int) -> int:
    """Be a flow."""
    return 2 * number


def runs() -> int:
    """Count the runs of flows, which are in the database."""
    return int(fetch(f"http://127.0.0.1:{port}/api/flow_runs/count", b"{}", JSON))


for around, database, listeners in (([], f"{url}?plugin=entra", 0), (pgpass, url, 1)):
    environment = {**settings, "PREFECT_API_DATABASE_CONNECTION_URL": database}
    with serving([*around, *prefect], lambda: fetch(f"http://127.0.0.1:{port}/api/health"), environment):
        before = runs()
        for number in going_on():
            assert double(number) == 2 * number
        assert runs() == before + number
        listening = query("SELECT pid FROM pg_stat_activity WHERE usename = session_user AND query LIKE 'LISTEN %'")
        assert len(listening) == listeners
print("done")
