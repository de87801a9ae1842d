"""Open WebUI, without the packages for local models: its migrations, and users who log in."""

import json
import os
import sys
from pathlib import Path

from serving import fetch, free_port, going_on, serving

port = free_port()
url = f"http://127.0.0.1:{port}"
environment = {
    "DATABASE_URL": f"postgresql+psycopg://{os.environ['PLACE']}?plugin=entra",
    # So that each session logs in.
    "DATABASE_POOL_SIZE": "0",
    "DATA_DIR": str(Path("data").resolve()),
    "USE_SLIM_DOCKER": "true",
    "WEBUI_SECRET_KEY": "for this test alone, it protects nothing",
    "RAG_EMBEDDING_ENGINE": "openai",
    "OFFLINE_MODE": "true",
    "ENABLE_VERSION_UPDATE_CHECK": "false",
    "ENABLE_OLLAMA_API": "false",
    "ENABLE_OPENAI_API": "false",
}
Path("data").mkdir()
open_webui = str(Path(sys.executable).parent / "open-webui")
command = [open_webui, "serve", "--host", "127.0.0.1", "--port", str(port)]
user = {"name": "Ada", "email": "ada@contoso.com", "password": "for this test alone"}

with serving(command, lambda: fetch(f"{url}/health"), environment):
    headers = {"Content-Type": "application/json"}
    session = json.loads(fetch(f"{url}/api/v1/auths/signup", json.dumps(user).encode(), headers))
    for _ in going_on():
        found = json.loads(fetch(f"{url}/api/v1/auths/", headers={"Authorization": f"Bearer {session['token']}"}))
        assert found["email"] == user["email"]
print("done")
