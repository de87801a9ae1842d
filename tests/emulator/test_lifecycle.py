"""The emulator's start and end: who can reach it, and nothing is left of it, however it ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import psycopg
import pytest
from azure_postgresql_auth import emulator as public
from azure_postgresql_auth.emulator import Emulator, services
from azure_postgresql_auth.emulator.server import binaries

from tests.support.emulator_clients import connect, get, one, refusal, run_script
from tests.support.interruption import Interruptions
from tests.support.platforms import ROOT, needs_modes, needs_proc, needs_root, needs_server
from tests.support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = "emulator-identity"
SOURCES = Path(services.__file__).parent


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a directory for temporary files that no other program uses and PostgreSQL's account can enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", directory)
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def postmaster(emulator: Emulator) -> int:
    data = emulator.sql("SHOW data_directory")[0][0]
    return int(Path(str(data), "postmaster.pid").read_text().split()[0])


@needs_server
@needs_proc
def test_its_classes_are_found_where_they_are_shown() -> None:
    assert repr(Emulator()).startswith("<azure_postgresql_auth.emulator.Emulator object")
    assert {getattr(public, name).__module__ for name in public.__all__} == {public.__name__}


def test_nobody_else_reaches_it(emulator: Emulator) -> None:
    """Neither by the network nor through the file system."""
    urls = (emulator.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"], emulator.env["AZURE_AUTHORITY_HOST"])
    ports = {emulator.port, *(urllib.parse.urlsplit(url).port for url in urls)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, port = local.partition(":")
            if state == "0A" and int(port, 16) in ports:
                found.add((int(port, 16), address))
    loopback = {"0100007F", "0" * 24 + "01000000"}
    assert {port for port, _ in found} == ports
    assert {address for _, address in found} <= loopback
    assert emulator.sql("SHOW listen_addresses") == [("",)]
    # PostgreSQL trusts every client that can open its socket.
    home = Path(str(emulator.sql("SHOW data_directory")[0][0])).parent
    assert (home / ".s.PGSQL.5432").is_socket()
    assert home.stat().st_mode & 0o777 == 0o700
    # Root lets the server's account through.
    assert home.parent.stat().st_mode & 0o777 == (0o711 if ROOT else 0o700)


@needs_modes
def test_secrets_in_files_are_for_their_owner_only(emulator: Emulator) -> None:
    app = emulator.add_identity("app", "service-principal")
    before = os.umask(0)
    try:
        paths = [
            emulator.client_certificate_env(app, form=form)["AZURE_CLIENT_CERTIFICATE_PATH"]
            for form in ("pem", "pkcs12")
        ]
        paths.append(emulator.workload_identity_env(app)["AZURE_FEDERATED_TOKEN_FILE"])
        older = set(emulator.arc_keys.iterdir()) if emulator.arc_keys.exists() else set()
        assert get(emulator.host_env("azure-arc")["IDENTITY_ENDPOINT"], {"Metadata": "true"})[0] == 401
        paths.extend(map(str, set(emulator.arc_keys.iterdir()) - older))
    finally:
        os.umask(before)
    assert len(paths) == 4
    assert {Path(path).stat().st_mode & 0o777 for path in paths} == {0o600}


@needs_server
def test_two_emulators_leave_nothing_behind(emulator: Emulator, temporary: Path) -> None:
    threads = set(threading.enumerate())
    with Emulator() as second:
        pid = postmaster(second)
        connect(second, second.identity).close()
        said = refusal(emulator, user=emulator.identity.role, password=second.token(second.identity))
        assert said.startswith("An error occurred while validating")
        held = connect(second, second.identity)
        assert len(list(temporary.iterdir())) == 1
    with pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
    held.close()
    assert list(temporary.iterdir()) == []
    assert not is_alive(pid)
    assert set(threading.enumerate()) <= threads
    with pytest.raises(RuntimeError, match="not running"):
        second.dsn  # noqa: B018
    with second, connect(second, second.identity) as connection:  # the same object again
        assert one(connection, "SELECT 1") == 1
    connect(emulator, emulator.identity).close()


@pytest.mark.parametrize(
    ("error", "said", "dsn"),
    [
        (RuntimeError, "dsn= cannot be used", "postgresql://someone:secret@127.0.0.1:9/db"),
        (ValueError, "dsn: expected postgresql://ADMIN", "dbname=db"),
    ],
)
def test_a_start_that_fails_leaves_nothing(temporary: Path, error: type[Exception], said: str, dsn: str) -> None:
    threads = set(threading.enumerate())
    with pytest.raises(error, match=said), Emulator(dsn=dsn):
        pass
    assert list(temporary.iterdir()) == []
    assert set(threading.enumerate()) == threads


@needs_server
def test_a_server_that_does_not_start_leaves_nothing(temporary: Path) -> None:
    threads = set(threading.enumerate())
    broken = temporary / "broken"
    broken.mkdir()
    for program in ("postgres", "initdb"):
        (broken / program).write_text('#!/bin/sh\necho no luck today; [ "$1" = --version ]\n')
        (broken / program).chmod(0o755)
    for error, said, options in (
        (RuntimeError, r"(?s)initdb failed.*no luck today", {"postgres": broken}),
        (ValueError, "expected a directory with the programs", {"postgres": "/nowhere"}),
    ):
        with pytest.raises(error, match=said), Emulator(**options):
            pass
        assert list(temporary.iterdir()) == [broken]
        assert set(threading.enumerate()) == threads


@needs_server
def test_forgotten_emulator_stops_at_exit() -> None:
    done = run_script(
        """
        from azure_postgresql_auth.emulator import Emulator
        emulator = Emulator().__enter__()
        print(emulator.sql("SHOW data_directory")[0][0])
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not Path(done.stdout.strip()).exists()


@needs_server
def test_killed_program_leaves_no_server() -> None:
    script = """
        import os, signal, sys
        from azure_postgresql_auth.emulator import Emulator
        emulator = Emulator().__enter__()
        if os.fork() == 0:
            os.close(1)
            os.close(2)
            signal.pause()  # a child that lives on does not keep the server
        print(emulator.sql("SHOW data_directory")[0][0], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        data = Path(process.communicate(timeout=60)[0].strip())
        assert data.name == "data"
        eventually(lambda: not data.parent.parent.exists(), 15)
    finally:
        os.killpg(process.pid, 9)


@needs_server
@pytest.mark.parametrize("program", ["initdb", "postgres"])
def test_killed_while_it_starts_leaves_nothing(temporary: Path, program: str) -> None:
    """Whichever of the server's programs runs at that moment, and whatever it writes after that."""
    real = binaries.find(None)
    tools = temporary / "tools"
    tools.mkdir()
    for name in ("initdb", "postgres"):
        pause = f'echo $$ > {temporary}/running; sleep 30; mkdir -p "$2"' if name == program else ""
        script = f'#!/bin/sh\n[ "$1" = --version ] && exec {real}/{name} --version\n{pause}\nexec {real}/{name} "$@"\n'
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    (temporary / "running").touch()
    (temporary / "running").chmod(0o666)
    script = f"from azure_postgresql_auth.emulator import Emulator; Emulator(postgres={str(tools)!r}).__enter__()"
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as process:
        eventually(lambda: bool((temporary / "running").read_text().strip()), 30)
        process.kill()
    pid = int((temporary / "running").read_text())
    eventually(lambda: not is_alive(pid), 15)
    eventually(lambda: sorted(path.name for path in temporary.iterdir()) == ["running", "tools"], 15)


@needs_server
def test_killed_before_it_knows_of_its_server_leaves_nothing(temporary: Path) -> None:
    """Between the start of a process and the line of code after it."""
    tools = temporary / "tools"
    tools.mkdir()
    for name in ("initdb", "postgres"):
        program = f'[ "$1" = --version ] && exec {binaries.find(None)}/{name} --version'
        (tools / name).write_text(f"#!/bin/sh\n{program}\necho $$ > {temporary}/running; sleep 30\n")
        (tools / name).chmod(0o755)
    (temporary / "running").touch()
    (temporary / "running").chmod(0o666)
    script = f"""
        import os, signal, subprocess, time

        class Popen(subprocess.Popen):
            def __init__(self, command, **options):
                super().__init__(command, **options)
                if "-D" in command:
                    while not open("{temporary}/running").read().strip():
                        time.sleep(0.01)
                    os.kill(os.getpid(), signal.SIGKILL)

        subprocess.Popen = Popen
        from azure_postgresql_auth.emulator import Emulator

        Emulator(postgres="{tools}").__enter__()
        """
    assert run_script(script).returncode == -signal.SIGKILL
    pid = int((temporary / "running").read_text())
    eventually(lambda: not is_alive(pid), 15)
    eventually(lambda: sorted(path.name for path in temporary.iterdir()) == ["running", "tools"], 15)


def interrupted_everywhere(start: Callable[[Interruptions], object], *files: str) -> Iterator[str]:
    """Interrupt a start at one place of these files after the other, and yield each place when that is over."""
    interruptions, count = Interruptions(*(str(SOURCES / file) for file in files)), 0
    while True:
        start(interruptions)
        if interruptions.place is None:
            break
        count += 1
        yield interruptions.place
    assert count > 20


@needs_server
def test_an_interrupted_start_leaves_nothing(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the signal comes; programs that run on when nobody stops them stand for PostgreSQL's."""
    tools, pids = temporary / "tools", temporary / "pids"
    tools.mkdir()
    pids.touch()
    pids.chmod(0o666)
    begin = f'#!/bin/sh\n[ "$1" = --version ] && exit\necho $$ >> {pids}\n'
    (tools / "initdb").write_text(f'{begin}mkdir "$2"')
    (tools / "postgres").write_text(f'{begin}echo ready > "$2/postmaster.pid"\nexec sleep 100')
    for program in tools.iterdir():
        program.chmod(0o755)
    threads = set(threading.enumerate())

    def running() -> list[str]:
        return [pid for pid in pids.read_text().split() if is_alive(int(pid))]

    def start(interruptions: Interruptions) -> None:
        def ask(*_: object, **__: object) -> None:
            interruptions.end()
            raise FileNotFoundError

        monkeypatch.setattr(services, "Roles", ask)
        with contextlib.suppress(FileNotFoundError), interruptions:
            Emulator(postgres=tools).__enter__()

    for place in interrupted_everywhere(
        start, "emulator.py", "services.py", "server/cluster.py", "server/event_loop.py"
    ):
        assert sorted(path.name for path in temporary.iterdir()) == ["pids", "tools"], place
        assert running() == [], place
        assert set(threading.enumerate()) <= threads, place
    eventually(lambda: not running(), 30)


@needs_server
def test_an_interrupted_start_leaves_nothing_in_a_given_server(emulator: Emulator, temporary: Path) -> None:
    home = Path(str(emulator.sql("SHOW data_directory")[0][0])).parent
    roles = emulator.sql("SELECT rolname FROM pg_roles")
    threads = set(threading.enumerate())

    def start(interruptions: Interruptions) -> None:
        second = Emulator(dsn=f"postgresql://postgres@/postgres?host={home}")
        with interruptions:
            second.__enter__()
        second.__exit__(None, None, None)

    emulator.remove(emulator.identity)  # both have a role of this name
    for place in interrupted_everywhere(start, "emulator.py", "services.py", "server/roles.py"):
        assert emulator.sql("SELECT rolname FROM pg_roles") == [role for role in roles if role != (ROLE,)], place
        assert list(temporary.iterdir()) == [], place
        assert set(threading.enumerate()) <= threads, place


@needs_server
def test_fork_does_not_stop_it() -> None:
    done = run_script(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from azure_postgresql_auth.emulator import Emulator
        import psycopg
        with Emulator() as emulator:
            if os.fork() == 0:
                sys.exit(0)  # runs __exit__ and atexit
            assert os.wait()[1] == 0
            kept = emulator.__class__()
            token = emulator.token(emulator.identity)
            with psycopg.connect(emulator.dsn, user=emulator.identity.role, password=token) as connection:
                print(connection.execute("SELECT 'alive'").fetchone()[0])
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")


@needs_root
def test_root_and_an_ordinary_user() -> None:
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        package = binaries.find(None).parent.parent
        for site in ("open", "closed"):  # virtual environments that all may read, or only root
            for folder in (package, package.with_name(f"{package.name}.libs")):
                if folder.is_dir():
                    shutil.copytree(folder, f"{base}/{site}/{folder.name}", ignore=shutil.ignore_patterns("include"))
            subprocess.run(["chmod", "-R", "a+rX" if site == "open" else "go-rwx", f"{base}/{site}"], check=True)
        done = run_script(
            f"""
            import os, pwd
            from azure_postgresql_auth.emulator import Emulator
            import psycopg
            def who_runs_postgres(site):
                with Emulator(postgres=f"{base}/{{site}}/{package.name}/pginstall/bin") as emulator:
                    data = emulator.sql("SHOW data_directory")[0][0]
                    token = emulator.token(emulator.identity)
                    psycopg.connect(emulator.dsn, user=emulator.identity.role, password=token).close()
                    return pwd.getpwuid(os.stat(data).st_uid).pw_name
            assert os.stat("{base}/closed").st_mode & 0o777 == 0o700
            first, second = who_runs_postgres("closed"), who_runs_postgres("open")
            nobody = pwd.getpwnam("nobody")
            os.environ["HOME"] = "/nonexistent"  # libpq looks there for certificates
            os.setgroups([]); os.setgid(nobody.pw_gid); os.setuid(nobody.pw_uid)
            print("root" in (first, second), who_runs_postgres("open"))
            """,
            cwd="/",
        )
    assert (done.stderr, done.stdout) == ("", "False nobody\n")
