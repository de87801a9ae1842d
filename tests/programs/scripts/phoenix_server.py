"""Arize Phoenix: its server, whose connections are closed from outside, because it keeps them for an hour."""

import os
import sys
from pathlib import Path

from serving import close_connections, fetch, free_port, going_on, serving

port = free_port()
environment = {
    "PHOENIX_SQL_DATABASE_URL": f"postgresql://{os.environ['PLACE']}?plugin=entra",
    "PHOENIX_HOST": "127.0.0.1",
    "PHOENIX_PORT": str(port),
    "PHOENIX_GRPC_PORT": str(free_port()),
    "PHOENIX_WORKING_DIR": str(Path("phoenix").resolve()),
    # Downloads, and an assistant that looks things up on the Internet.
    "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    "PHOENIX_ALLOWED_SANDBOX_PROVIDERS": "NONE",
    "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
}


def check_projects() -> None:
    """List the projects, which are in the database."""
    assert b"default" in fetch(f"http://127.0.0.1:{port}/v1/projects")


with serving([sys.executable, "-m", "phoenix.server.main", "serve"], check_projects, environment):
    for _ in going_on():
        close_connections()
        check_projects()
print("done")
