"""Arize Phoenix: its server, by URL, and by code in place of Phoenix's own.

Its connections are closed from outside, because it keeps them for an hour.
"""

import os
import sys
from pathlib import Path

from serving import close_connections, fetch, free_port, going_on, serving

port = free_port()
url = f"postgresql://{os.environ['PLACE']}"
environment = {
    "PHOENIX_HOST": "127.0.0.1",
    "PHOENIX_PORT": str(port),
    "PHOENIX_GRPC_PORT": str(free_port()),
    "PHOENIX_WORKING_DIR": str(Path("phoenix").resolve()),
    # Downloads, and an assistant that looks things up on the Internet.
    "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    "PHOENIX_ALLOWED_SANDBOX_PROVIDERS": "NONE",
    "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
}
# All that Phoenix would need instead of its `azure_auth.py`.
BY_CODE = """
import runpy, sys
from azure_postgresql_auth.sqlalchemy import enable_entra_authentication
from phoenix.db import azure_auth
from sqlalchemy.ext.asyncio import create_async_engine

def create_azure_engine(url, connect_args, **engine_kwargs):
    engine = create_async_engine(url, connect_args=connect_args, **engine_kwargs)
    enable_entra_authentication(engine)
    return engine

azure_auth.create_azure_engine = create_azure_engine
sys.argv[1:] = ["serve"]
runpy.run_module("phoenix.server.main", run_name="__main__", alter_sys=True)
"""


def check_projects() -> None:
    """List the projects, which are in the database."""
    assert b"default" in fetch(f"http://127.0.0.1:{port}/v1/projects")


for command, settings in (
    (["-m", "phoenix.server.main", "serve"], {"PHOENIX_SQL_DATABASE_URL": f"{url}?plugin=entra"}),
    (["-c", BY_CODE], {"PHOENIX_SQL_DATABASE_URL": url, "PHOENIX_POSTGRES_USE_AZURE_MANAGED_IDENTITY": "true"}),
):
    with serving([sys.executable, *command], check_projects, {**environment, **settings}):
        for _ in going_on():
            close_connections()
            check_projects()
print("done")
