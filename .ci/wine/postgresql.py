"""Run a command beside a PostgreSQL that listens on loopback; TEST_POSTGRESQL tells it the server's URL."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from azure_postgresql_auth.emulator.server import binaries
from azure_postgresql_auth.emulator.server.account import Account

_SETTINGS = ("max_connections=400", "fsync=off", "synchronous_commit=off", "full_page_writes=off")
_START_SECONDS = 60


def main(command: list[str]) -> int:
    """Run it to its end."""
    account = Account.choose()
    work = Path(tempfile.mkdtemp(prefix="wine-pg-", dir="/tmp"))
    work.chmod(0o711)
    try:
        programs = account.reachable(binaries.find(None), work)
        home, password = work / "pg", secrets.token_hex(16)
        home.mkdir(mode=0o700)
        (home / "password").write_text(password)
        account.give(home)
        options = {"cwd": home, "stdout": subprocess.DEVNULL, **account.options()}
        initdb = [
            programs / "initdb",
            "-D",
            home / "data",
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        subprocess.run(  # noqa: S603
            [*initdb, "--no-sync", "--pwfile", home / "password"], check=True, **options
        )
        # While it is bound, the system gives the port to nobody; a server that sets the option, too, can listen there.
        reserved = socket.socket()
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        log = (work / "log").open("wb")
        server = subprocess.Popen(  # noqa: S603
            [programs / "postgres", "-D", home / "data", "-k", home, "-h", "127.0.0.1", "-p", str(port), *settings],
            **{**options, "stderr": log},
        )
        try:
            wait(port)
            url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
            environment = {**os.environ, "TEST_POSTGRESQL": url}
            return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603
        finally:
            server.terminate()
            server.wait()
            log.close()
            reserved.close()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def wait(port: int) -> None:
    """Wait until it answers."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:  # noqa: PERF203 - it waits anyway
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
