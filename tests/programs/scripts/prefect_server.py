"""Prefect: its server, without the event listener that connects by asyncpg itself, and a flow."""

import os
import sys

from serving import fetch, free_port, going_on, serving

port = free_port()
os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
from prefect import flow  # noqa: E402 - it reads the variable

environment = {
    "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{os.environ['PLACE']}?plugin=entra",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_RECYCLE": "1",
    "PREFECT_SERVER_UI_ENABLED": "false",
}
command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]


@flow
def double(number: int) -> int:
    """Be a flow."""
    return 2 * number


with serving(command, lambda: fetch(f"http://127.0.0.1:{port}/api/health"), environment):
    for number in going_on():
        assert double(number) == 2 * number
    headers = {"Content-Type": "application/json"}
    assert int(fetch(f"http://127.0.0.1:{port}/api/flow_runs/count", b"{}", headers)) == number
print("done")
