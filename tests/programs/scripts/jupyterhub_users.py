"""JupyterHub: its database's upgrade, and the hub, which makes a second engine of its first one's URL."""

import json
import os
import sys
import time
from pathlib import Path

from serving import fetch, free_port, serving

ports = [free_port(), free_port()]
Path("jupyterhub_config.py").write_text(
    f"""
from jupyterhub.proxy import Proxy
from sqlalchemy import NullPool
from traitlets import default


class NoProxy(Proxy):
    \"\"\"The real one is a program of Node.js.\"\"\"

    should_start = False

    async def add_route(self, routespec, target, data):
        pass

    async def delete_route(self, routespec):
        pass

    async def get_all_routes(self):
        return {{}}


c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.db_url = "postgresql+psycopg://{os.environ["PLACE"]}?plugin=entra"
c.JupyterHub.db_kwargs = {{"poolclass": NullPool}}
c.JupyterHub.bind_url = "http://127.0.0.1:{ports[0]}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{ports[1]}"
c.JupyterHub.services = [{{"name": "test", "api_token": "of-this-test-alone", "admin": True}}]
c.JupyterHub.load_roles = [{{"name": "test", "scopes": ["admin:users", "list:users"], "services": ["test"]}}]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.password = "for this test alone"
""",
    "utf-8",
)
jupyterhub = [sys.executable, "-m", "jupyterhub"]


def users(name: str = "") -> list[object]:
    """List the users, or add one."""
    headers = {"Authorization": "token of-this-test-alone"}
    url = f"http://127.0.0.1:{ports[1]}/hub/api/users{name}"
    return json.loads(fetch(url, headers=headers, method="POST" if name else "GET"))


end = time.monotonic() + float(os.environ["SECONDS"])
number = 0
while time.monotonic() < end or number < 3:
    with serving([*jupyterhub, "--upgrade-db"], users):
        assert len(users()) == number
        users(f"/user{number}")
        number += 1
print("done")
