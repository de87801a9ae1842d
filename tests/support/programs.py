"""Run real programs, each in its own process, which log in to the emulator with short-lived tokens."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from azure_postgresql_auth.emulator import Emulator

from tests.support.emulator import hidden_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Identity

SCRIPTS = Path(__file__).parents[1] / "programs" / "scripts"
SERVER = "myserver.postgres.database.azure.com"
LIFETIME = 2.0
"""Lifetime of tokens, in seconds."""
LIVES = 3
QUIET = {
    "ANONYMIZED_TELEMETRY": "false",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PHOENIX_TELEMETRY_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "SCARF_ANALYTICS": "false",
    "SCARF_NO_ANALYTICS": "true",
}
# Python runs this at its start: the server's name resolves to the emulator, and connections elsewhere are blocked.
START = f"""
import ipaddress, os, socket, sys
resolve, connect, connect_ex = socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex
def refuse(what):
    with open(os.environ["OUTER_WORLD_LOG"], "a") as log:
        print(what, sys.argv, file=log)
    raise OSError(f"a test forbids to contact {{what}}")
def here(host, *arguments, **keywords):
    name = host.decode() if isinstance(host, bytes) else host
    if name == {SERVER!r}:
        return resolve("127.0.0.1", *arguments, **keywords)
    try:
        ipaddress.ip_address(name or "127.0.0.1")
    except ValueError:
        if name not in ("localhost", socket.gethostname()):
            refuse(name)
    return resolve(host, *arguments, **keywords)
def guarded(connect):
    def inner(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] != "localhost":
            ip = ipaddress.ip_address(address[0])
            if not ip.is_loopback and self.type != socket.SOCK_DGRAM:
                refuse(address[0])
        return connect(self, address)
    return inner
socket.getaddrinfo = here
socket.socket.connect, socket.socket.connect_ex = guarded(connect), guarded(connect_ex)
"""


@dataclass
class Program:
    """A program with its own database, identity and folder."""

    name: str
    python: Path
    emulator: Emulator
    identity: Identity
    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *command: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a process in the folder; its output goes to a log there."""
        with (self.folder / f"{len(self.running)}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def stop(self) -> None:
        """Stop the processes that still run."""
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, 15)
        for process in self.running:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()

    def logs(self) -> str:
        """Return the output of the program's processes."""
        return "".join(path.read_text("utf-8", "replace") for path in sorted(self.folder.glob("*.log")))

    def check(self) -> None:
        """Check the emulator's records and the program's files."""
        logins = [login for login in self.emulator.logins if login.role == self.identity.role]
        refused = [login for login in logins if not login.accepted]
        requests = [each for each in self.emulator.token_requests if each.client_id == self.identity.client_id]
        assert not refused, (refused, self.logs())
        assert len(logins) > LIVES, self.logs()
        assert len(requests) > LIVES, self.logs()
        shown = [path for path in self.folder.rglob("*") if path.is_file() and _shows_a_token(path)]
        assert not shown
        outer = self.folder / "outer-world.txt"
        assert not outer.exists(), outer.read_text("utf-8")


def _shows_a_token(path: Path) -> bool:
    if path.name == "pgpass" and path.stat().st_mode & 0o777 == 0o600:
        # The password file, which only its owner can read, contains the token.
        return False
    return re.search(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}", path.read_bytes()) is not None


@dataclass
class Programs:
    """Creates programs."""

    emulator: Emulator
    folder: Path
    start_folder: Path
    made: dict[str, Program] = field(default_factory=dict)

    def make(self, name: str, python: Path, kind: str = "user-assigned", **env: str) -> Program:
        """Create a program; `python` is the interpreter of its environment."""
        role = name if kind != "user" else f"{name}@contoso.com"
        identity = self.emulator.add_identity(name, role=role)
        self.emulator.sql(f'CREATE DATABASE "{name}" OWNER "{role}"')
        folder = self.folder / name
        folder.mkdir()
        place = f"{SERVER}:{self.emulator.port}/{name}"
        hidden = ("PG", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "PYTEST")
        program = Program(name, python, self.emulator, identity, folder)
        program.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(hidden)},
            **QUIET,
            **{key: value for key, value in self.emulator.env.items() if key != "SSL_CERT_FILE" and key[:2] != "PG"},
            "PGSSLROOTCERT": self.emulator.ca_file,
            # Where libpq finds the server that bears this name.
            "PGHOSTADDR": "127.0.0.1",
            "AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS": f"{SERVER}:{self.emulator.port}",
            "AZURE_CLIENT_ID": identity.client_id,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.start_folder),
            "PYTHONUNBUFFERED": "1",
            "OUTER_WORLD_LOG": str(folder / "outer-world.txt"),
            # For the programs here.
            "PLACE": place,
            "ROLE": role,
            "DATABASE_URL": f"postgresql+psycopg://{place}?plugin=entra",
            # A busy machine asks for a token late, and so for fewer.
            "SECONDS": str(LIFETIME * (LIVES + 2)),
            **env,
        }
        self.made[name] = program
        return program


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Give a maker of programs, whose emulator's tokens live for some seconds."""
    with hidden_world(), Emulator(lifetime=LIFETIME) as emulator:
        start = tmp_path_factory.mktemp("start")
        (start / "sitecustomize.py").write_text(START, "utf-8")
        made = Programs(emulator, tmp_path_factory.mktemp("programs"), start)
        yield made
        for program in made.made.values():
            program.stop()
