"""Synapse: a homeserver that reads a password file that is kept fresh, and a user who writes to a room."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from serving import fetch, free_port, going_on, serving

server, _, rest = os.environ["PLACE"].partition(":")
port, _, database = rest.partition("/")
http = free_port()
url = f"http://127.0.0.1:{http}"
passfile = Path("pgpass").resolve()
SECRET = "for this test alone"
Path("homeserver.yaml").write_text(
    f"""
server_name: example.org
report_stats: false
trusted_key_servers: []
suppress_key_server_warning: true
signing_key_path: {Path("signing.key").resolve()}
media_store_path: {Path("media").resolve()}
pid_file: {Path("homeserver.pid").resolve()}
registration_shared_secret: {SECRET}
rc_message: {{per_second: 1000, burst_count: 1000}}
listeners:
  - {{port: {http}, bind_addresses: [127.0.0.1], type: http, resources: [{{names: [client]}}]}}
database:
  name: psycopg2
  # So that it often logs in.
  txn_limit: 5
  allow_unsafe_locale: true
  args:
    host: {server}
    port: {port}
    dbname: {database}
    user: {os.environ["ROLE"]}
    passfile: {passfile}
    sslmode: verify-full
    sslrootcert: {os.environ["PGSSLROOTCERT"]}
    cp_min: 1
    cp_max: 5
""",
    "utf-8",
)


def call(path: str, content: object = None, method: str = "", token: str = "") -> dict[str, str]:
    """Call the homeserver."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None if content is None else json.dumps(content).encode()
    return json.loads(fetch(url + path, data, headers, method))


def register() -> str:
    """Add a user, and return an access token of Synapse's."""
    nonce = call("/_synapse/admin/v1/register")["nonce"]
    signed = f"{nonce}\0ada\0password\0notadmin"
    mac = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha1).hexdigest()
    user = {"nonce": nonce, "username": "ada", "password": "password", "mac": mac}
    return call("/_synapse/admin/v1/register", user)["access_token"]


homeserver = [sys.executable, "-m", "synapse.app.homeserver", "--config-path", "homeserver.yaml"]
subprocess.run([*homeserver, "--generate-keys"], check=True)
keep = ["--file", str(passfile), "--host", server, "--user", os.environ["ROLE"]]
with subprocess.Popen([sys.executable, "-m", "azure_postgresql_auth", "pgpass", *keep]) as pgpass:
    try:
        end = time.monotonic() + 60
        while not passfile.exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        with serving(homeserver, lambda: call("/_matrix/client/versions")):
            token = register()
            room = call("/_matrix/client/v3/createRoom", {}, token=token)["room_id"]
            for number in going_on():
                message = {"msgtype": "m.text", "body": str(number)}
                path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{number}"
                assert call(path, message, "PUT", token)["event_id"]
    finally:
        pgpass.terminate()
print("done")
