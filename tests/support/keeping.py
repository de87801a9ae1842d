"""Helpers for the commands that keep tokens in a file fresh."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed (Debian: pgbouncer)")
ROLE = "emulator-identity"


def passwords(auth_file: Path) -> dict[str, str]:
    lines = [line.split('"') for line in auth_file.read_text().splitlines() if line.startswith('"')]
    return {fields[1]: fields[3] for fields in lines}


def events(stderr: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr.splitlines()]


class PgBouncer(NamedTuple):
    """A running PgBouncer."""

    port: int
    pid_file: Path
    log: Path
    process: subprocess.Popen[bytes]

    def who(self, user: str = ROLE) -> str:
        """Log in to the server with a new connection, and return the user."""
        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user={user} dbname=postgres sslmode=disable connect_timeout=20"
        ) as connection:
            row = connection.execute("SELECT session_user").fetchone()
            assert row is not None
            return str(row[0])


def stopped(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> list[dict[str, Any]]:
    """Its log, after a clean end."""
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    told = events(stderr)
    assert told[-1]["event"] == "stopped"
    assert "eyJ" not in stderr, "a token was logged"
    return told
