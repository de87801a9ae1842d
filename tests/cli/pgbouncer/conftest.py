"""PgBouncer, its files, and the command that keeps its tokens fresh."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from tests.support.cli import COMMAND
from tests.support.keeping import PROGRAM, PgBouncer
from tests.support.platforms import ROOT, WINDOWS, nobody
from tests.support.polling import eventually
from tests.support.ports import reserved_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator


@pytest.fixture(autouse=True)
def _not_on_windows() -> None:
    if WINDOWS:
        pytest.skip("the command is refused on Windows")


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder of this user that contains a folder of PgBouncer's user, who is not root."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "run").mkdir()
        if ROOT:
            os.chown(path / "run", *nobody())
        yield path


@pytest.fixture
def auth_file(home: Path) -> Path:
    """As its administrator left it."""
    path = home / "userlist.txt"
    path.write_text(';; kept\n"admin" "secret"\n')
    path.chmod(0o640)
    if ROOT:
        os.chown(path, -1, (home / "run").stat().st_gid)
    return path


@pytest.fixture
def port() -> Iterator[int]:
    """Reserve a port for PgBouncer."""
    with reserved_ports() as (number,):
        yield number


@pytest.fixture
def pgbouncer(emulator: Emulator, home: Path, auth_file: Path, port: int) -> Iterator[PgBouncer]:
    """Start PgBouncer in front of the emulator, with connections to the server that are closed after use."""
    assert PROGRAM is not None
    pid_file, log, ini, roots = home / "run" / "pid", home / "run" / "log", home / "ini", home / "ca.pem"
    roots.write_bytes(Path(emulator.ca_file).read_bytes())
    ini.write_text(
        f"""\
[databases]
* = host=localhost port={emulator.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pidfile = {pid_file}
logfile = {log}
auth_type = trust
auth_file = {auth_file}
admin_users = admin
server_tls_sslmode = verify-full
server_tls_ca_file = {roots}
pool_mode = session
server_lifetime = 0
server_login_retry = 1
query_wait_timeout = 15
"""
    )
    account = {"user": "nobody", "group": (home / "run").stat().st_gid, "extra_groups": []} if ROOT else {}
    process = subprocess.Popen([PROGRAM, "-q", str(ini)], cwd="/", stderr=subprocess.DEVNULL, **account)  # type: ignore[call-overload]
    try:
        eventually(pid_file.exists)
        eventually(lambda: "process up" in log.read_text())
        yield PgBouncer(port, pid_file, log, process)
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def keeper(auth_file: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `azure-postgresql-auth pgbouncer`; stop the processes that still run."""
    running = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [*COMMAND, "pgbouncer", "--auth-file", str(auth_file), *arguments]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()
