"""Run a command beside some PostgreSQL servers: `postgresql.py 2 COMMAND...`.

They listen on loopback; TEST_POSTGRESQL tells the command their URLs.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from azure_postgresql_auth.emulator.server import binaries
from azure_postgresql_auth.emulator.server.account import Account
from azure_postgresql_auth.emulator.server.backend import Backend, BackendError

_SETTINGS = ("max_connections=400", "fsync=off", "synchronous_commit=off", "full_page_writes=off")
_INITDB = ("-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync")
_START_SECONDS = 60


def main(count: int, command: list[str]) -> int:
    """Run it to its end, beside this many servers."""
    with contextlib.ExitStack() as stack:
        urls = [start(stack) for _ in range(count)]
        environment = {**os.environ, "TEST_POSTGRESQL": " ".join(urls)}
        return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


def start(stack: contextlib.ExitStack) -> str:
    """Start a server that ends with the stack; return its URL."""
    account = Account.choose()
    work = Path(tempfile.mkdtemp(prefix="wine-pg-", dir="/tmp"))
    stack.callback(shutil.rmtree, work, ignore_errors=True)
    work.chmod(0o711)
    programs = account.reachable(binaries.find(None), work)
    home, password = work / "pg", secrets.token_hex(16)
    home.mkdir(mode=0o700)
    (home / "password").write_text(password)
    account.give(home)
    options = {"cwd": home, "stdout": subprocess.DEVNULL, **account.options()}
    subprocess.run(  # noqa: S603
        [programs / "initdb", "-D", home / "data", "-U", "postgres", *_INITDB, "--pwfile", home / "password"],
        check=True,
        **options,
    )
    # While it is bound, the system gives the port to nobody; a server that sets the option, too, can listen there.
    reserved = stack.enter_context(socket.socket())
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    server = subprocess.Popen(  # noqa: S603
        [programs / "postgres", "-D", home / "data", "-k", home, "-h", "127.0.0.1", "-p", str(port), *settings],
        **{**options, "stderr": stack.enter_context((work / "log").open("wb"))},
    )
    stack.callback(server.wait)
    stack.callback(server.terminate)
    url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    wait(url)
    # As in the server that the emulator starts on other systems.
    for database in ("postgres", "template1"):
        query(url, "GRANT ALL ON SCHEMA public TO PUBLIC", database)
    return url


def query(url: str, sql: str, database: str | None = None) -> None:
    """Run SQL as the server's administrator."""
    anyio.run(Backend.from_dsn(url).query, sql, database)


def wait(url: str) -> None:
    """Wait until it answers."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            query(url, "SELECT 1")
        except (OSError, BackendError):  # noqa: PERF203 - it waits anyway
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
