"""`pgbouncer`: with the real PgBouncer between a client and the emulator, where it is installed."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import psycopg
import pytest
from azure_postgresql_auth import core
from azure_postgresql_auth.cli.pgbouncer.userlist import merged

from tests.support.cli import COMMAND
from tests.support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed (Debian: pgbouncer)")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who sees what PgBouncer's user does not")
ROLE = "emulator-identity"


def passwords(auth_file: Path) -> dict[str, str]:
    lines = [line.split('"') for line in auth_file.read_text().splitlines() if line.startswith('"')]
    return {fields[1]: fields[3] for fields in lines}


def events(stderr: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr.splitlines()]


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of this user, with one of PgBouncer's user, who is not root, in it."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "run").mkdir()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(path / "run", nobody.pw_uid, nobody.pw_gid)
        yield path


@pytest.fixture
def auth_file(home: Path) -> Path:
    """As its administrator left it."""
    path = home / "userlist.txt"
    path.write_text(';; kept\n"admin" "secret"\n')
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, -1, (home / "run").stat().st_gid)
    return path


class PgBouncer(NamedTuple):
    """A running one."""

    port: int
    pid_file: Path
    log: Path
    process: subprocess.Popen[bytes]

    def who(self, user: str = ROLE) -> str:
        """Logs in to the server, by a connection of its own."""
        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user={user} dbname=postgres sslmode=disable connect_timeout=20"
        ) as connection:
            row = connection.execute("SELECT session_user").fetchone()
            assert row is not None
            return str(row[0])


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def pgbouncer(emulator: Emulator, home: Path, auth_file: Path) -> Iterator[PgBouncer]:
    """Starts it in front of the emulator; it forgets its connections to the server at once."""
    assert PROGRAM is not None
    port, pid_file, log, ini, roots = (
        free_port(),
        home / "run" / "pid",
        home / "run" / "log",
        home / "ini",
        home / "ca.pem",
    )
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
    account = {"user": "nobody", "group": (home / "run").stat().st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen([PROGRAM, "-q", str(ini)], cwd="/", stderr=subprocess.DEVNULL, **account)  # type: ignore[call-overload]
    try:
        eventually(pid_file.exists)
        eventually(lambda: "process up" in log.read_text())
        yield PgBouncer(port, pid_file, log, process)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def keeper(auth_file: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `azure-postgresql-auth pgbouncer`; stops what still runs."""
    running = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [*COMMAND, "pgbouncer", "--auth-file", str(auth_file), *arguments]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def stopped(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> list[dict[str, Any]]:
    """Its log, after a clean end."""
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    told = events(stderr)
    assert told[-1]["event"] == "stopped"
    assert "eyJ" not in stderr, "a token was logged"
    return told


@needs_pgbouncer
class TestWithPgBouncer:
    @pytest.mark.timeout(400)
    def test_logins_go_on_through_expiry(
        self, emulator: Emulator, pgbouncer: PgBouncer, keeper: Any, auth_file: Path, tmp_path: Path
    ) -> None:
        emulator.lifetime = 30
        health = tmp_path / "health"
        process = keeper("--pid-file", str(pgbouncer.pid_file), "--health-file", str(health))
        eventually(lambda: ROLE in passwords(auth_file))
        first = core.decode_jwt(passwords(auth_file)[ROLE])
        eventually(lambda: "re-reading" in pgbouncer.log.read_text())
        # Until two tokens are past, and the one that is used has not been there at the start.
        while time.time() < first["exp"] + 12:
            assert pgbouncer.who() == ROLE
            assert json.loads(health.read_text())["users"][ROLE]["expires_on"]
            time.sleep(0.1)
        assert len(emulator.token_requests) >= 3
        assert all(login.accepted for login in emulator.logins)
        assert len(emulator.logins) > 10
        told = stopped(process)
        assert [event["event"] for event in told].count("written") >= 3
        assert [event["event"] for event in told].count("reloaded") >= 3
        assert not health.exists()
        # And it was the keeper's doing.
        last = core.decode_jwt(passwords(auth_file)[ROLE])
        eventually(lambda: time.time() > last["exp"])
        with pytest.raises(psycopg.OperationalError):
            pgbouncer.who()
        assert "has expired" in emulator.logins[-1].message

    def test_the_console_tells_it_too(
        self, emulator: Emulator, pgbouncer: PgBouncer, cli: Run, auth_file: Path
    ) -> None:
        dsn = f"host=127.0.0.1 port={pgbouncer.port} user=admin sslmode=disable"
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", "--admin-dsn", dsn)
        assert done.returncode == 0, done.stderr
        assert [event["event"] for event in events(done.stderr) if event["event"] != "library"] == [
            "written",
            "reloaded",
        ]
        assert pgbouncer.who() == ROLE

    @pytest.mark.parametrize("missing", [("psycopg",), ("psycopg", "psycopg2")])
    def test_with_every_driver(
        self, emulator: Emulator, pgbouncer: PgBouncer, cli: Run, auth_file: Path, tmp_path: Path, missing: Any
    ) -> None:
        for name in missing:
            (tmp_path / f"{name}.py").write_text("raise ImportError('gone')")
        dsn = f"postgresql://admin@127.0.0.1:{pgbouncer.port}?sslmode=disable"
        arguments = ("pgbouncer", "--auth-file", str(auth_file), "--once", "--admin-dsn", dsn)
        done = cli(*arguments, env={"PYTHONPATH": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        assert pgbouncer.who() == ROLE

    def test_several_identities(self, emulator: Emulator, pgbouncer: PgBouncer, cli: Run, auth_file: Path) -> None:
        orders, billing = emulator.add_identity("orders"), emulator.add_identity("billing-app", role="billing")
        given = [f"--identity=orders={orders.client_id}", f"--identity=billing={billing.client_id}"]
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", "--pid-file", str(pgbouncer.pid_file), *given)
        assert done.returncode == 0, done.stderr
        assert set(passwords(auth_file)) == {"admin", "orders", "billing"}
        eventually(lambda: "re-reading" in pgbouncer.log.read_text())
        assert [pgbouncer.who(user) for user in ("orders", "billing")] == ["orders", "billing"]

    def test_a_token_that_would_be_left_out_is_not_written(self, emulator: Emulator, cli: Run, auth_file: Path) -> None:
        emulator.add_identity("small")
        # 1.18 takes 2,047 characters; whatever the version, what it does not take must not be written.
        big = emulator.identity = emulator.add_identity("big", claims={"groups": ["0" * 36] * 105})
        length = len(emulator.token(big))
        assert 7000 < length < 8000
        before = auth_file.read_text()
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once")
        told = events(done.stderr)
        if done.returncode == 0:
            pytest.skip(f"this PgBouncer takes {length} characters")
        assert auth_file.read_text() == before
        complaint = next(event for event in told if event["event"] == "too_long")
        assert (complaint["user"], complaint["level"]) == ("big", "error")
        assert abs(complaint["length"] - length) < 50
        assert complaint["pgbouncer"].startswith("PgBouncer 1.")
        assert "it was not written" in complaint["error"]

    def test_a_long_one_that_it_takes_goes_all_the_way(
        self, emulator: Emulator, pgbouncer: PgBouncer, cli: Run, auth_file: Path
    ) -> None:
        from azure_postgresql_auth.cli.pgbouncer.limit import Limit

        limit = Limit()
        plain = len(emulator.token(emulator.identity))
        longest = next((length for length in (7000, 2047, 995) if limit.takes(length)), 0)
        if longest < plain:
            pytest.skip(f"this PgBouncer takes {longest} characters")
        emulator.identity = emulator.add_identity("long", claims={"pad": "x" * ((longest - plain) * 3 // 4 - 20)})
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", "--pid-file", str(pgbouncer.pid_file))
        assert done.returncode == 0, done.stderr
        assert longest - 60 < len(passwords(auth_file)["long"]) <= longest
        eventually(lambda: "re-reading" in pgbouncer.log.read_text())
        assert pgbouncer.who("long") == "long"

    def test_the_template_is_a_configuration(self, emulator: Emulator, cli: Run, home: Path, auth_file: Path) -> None:
        assert PROGRAM is not None
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--host", "srv.postgres.database.azure.com", "--ini")
        assert (done.returncode, done.stderr) == (0, "")
        assert "* = host=srv.postgres.database.azure.com port=5432" in done.stdout
        ini = home / "pgbouncer.ini"
        # It reads all of it, and then has nowhere to listen.
        ini.write_text(
            done.stdout.replace("listen_addr = 127.0.0.1", "unix_socket_dir =").replace("pidfile", ";pidfile")
        )
        account = (
            {"user": "nobody", "group": (home / "run").stat().st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        )
        ran = subprocess.run(
            [PROGRAM, str(ini)], capture_output=True, text=True, timeout=30, check=False, cwd="/", **account
        )  # type: ignore[call-overload]
        assert "nowhere to listen" in ran.stderr
        assert "ERROR" not in ran.stderr
        assert "WARNING" not in ran.stderr


class TestKeeping:
    def test_an_outage_is_survived(self, emulator: Emulator, keeper: Any, auth_file: Path, tmp_path: Path) -> None:
        emulator.lifetime = 6
        health = tmp_path / "health"
        process = keeper("--health-file", str(health))
        first = eventually(lambda: passwords(auth_file).get(ROLE))
        eventually(health.exists)
        emulator.fail(503)
        assert passwords(auth_file)[ROLE]
        eventually(lambda: not health.exists(), 90)
        emulator.heal()
        eventually(lambda: passwords(auth_file)[ROLE] != first and health.exists(), 90)
        told = stopped(process, signal.SIGINT)
        assert any(event["event"] == "token_failed" and event["user"] for event in told)

    def test_it_starts_before_the_identity_is_there(self, emulator: Emulator, keeper: Any, auth_file: Path) -> None:
        emulator.fail(400)
        process = keeper()
        eventually(lambda: len(emulator.token_requests) >= 1)
        emulator.heal()
        eventually(lambda: ROLE in passwords(auth_file))
        told = stopped(process)
        assert "token_failed" in {event["event"] for event in told}

    def test_it_stops_at_once_while_it_waits_for_a_token(self, emulator: Emulator, keeper: Any) -> None:
        emulator.fail(hang=True)
        process = keeper()
        eventually(lambda: len(emulator.token_requests) >= 1)
        begun = time.monotonic()
        stopped(process)
        assert time.monotonic() - begun < 15

    def test_once_tells_by_its_exit_code(self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path) -> None:
        arguments = ("pgbouncer", "--auth-file", str(auth_file), "--once")
        done = cli(*arguments, "--pid-file", str(tmp_path / "nothing"))
        assert done.returncode == 0
        assert "not_running" in {event["event"] for event in events(done.stderr)}
        assert cli(*arguments, "--admin-dsn", "host=127.0.0.1 port=9").returncode == 1
        emulator.fail(400)
        done = cli(*arguments)
        assert done.returncode == 1
        assert events(done.stderr)[-1]["event"] == "token_failed"

    def test_without_pgbouncer_its_limit_is_unknown(
        self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path
    ) -> None:
        program = tmp_path / "pgbouncer"
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", env={"PATH": f"{tmp_path}:/bin:/usr/bin"})
        assert done.returncode == 0
        assert "limit_unknown" in {event["event"] for event in events(done.stderr)}

    def test_an_old_pgbouncer_is_believed(self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path) -> None:
        program = tmp_path / "pgbouncer"
        program.write_text(
            "#!/bin/sh\ncase $1 in --version) echo PgBouncer 1.12.0;; *) echo ERROR password too long;; esac\n"
        )
        program.chmod(0o755)
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", env={"PATH": f"{tmp_path}:/bin:/usr/bin"})
        assert done.returncode == 1
        complaint = next(event for event in events(done.stderr) if event["event"] == "too_long")
        assert complaint["pgbouncer"] == "PgBouncer 1.12.0"
        assert ROLE not in passwords(auth_file)

    def test_an_environment_that_signs_in_somebody_else_is_not_asked(
        self, emulator: Emulator, cli: Run, auth_file: Path
    ) -> None:
        env = emulator.client_secret_env(emulator.add_identity("app", "service-principal"))
        orders = emulator.add_identity("orders")
        arguments = ("--once", f"--identity=orders={orders.client_id}")
        done = cli("pgbouncer", "--auth-file", str(auth_file), *arguments, env=env)
        assert done.returncode == 0, done.stderr
        assert core.decode_jwt(passwords(auth_file)["orders"])["oid"] == orders.object_id


class TestGoingOn:
    """What may happen beside it."""

    def test_tokens_that_another_program_removed_are_put_back(
        self, emulator: Emulator, keeper: Any, auth_file: Path, tmp_path: Path
    ) -> None:
        process = keeper("--health-file", str(tmp_path / "health"))
        token = eventually(lambda: passwords(auth_file).get(ROLE))
        template = auth_file.with_name("template")
        template.write_text('"admin" "changed"\n')
        template.chmod(0o640)
        os.chown(template, -1, auth_file.stat().st_gid)
        template.replace(auth_file)
        # It looks once a minute, and on SIGHUP.
        process.send_signal(signal.SIGHUP)
        eventually(lambda: ROLE in passwords(auth_file))
        assert passwords(auth_file) == {"admin": "changed", ROLE: token}
        assert [event["event"] for event in stopped(process)].count("restored") == 1

    def test_a_second_one_on_the_same_file_says_so(
        self, emulator: Emulator, keeper: Any, cli: Run, auth_file: Path, tmp_path: Path
    ) -> None:
        first = keeper("--health-file", str(tmp_path / "first"))
        eventually((tmp_path / "first").exists)
        other = emulator.add_identity("other")
        second = keeper("--health-file", str(tmp_path / "second"), f"--identity=other={other.client_id}")
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once")
        assert done.returncode == 1
        assert "another process keeps this file up to date" in done.stderr
        assert not (tmp_path / "second").exists()
        stopped(first)
        eventually((tmp_path / "second").exists)
        assert set(passwords(auth_file)) == {"admin", ROLE, "other"}
        assert "write_failed" in {event["event"] for event in stopped(second)}

    def test_what_a_killed_one_left_behind_is_removed(
        self, emulator: Emulator, keeper: Any, auth_file: Path, tmp_path: Path
    ) -> None:
        health, token_file = tmp_path / "health", auth_file.with_name(f".{auth_file.name}.{'0' * 16}.new")
        health.write_text("{}")
        token_file.write_text("a token")
        emulator.fail(hang=True)
        process = keeper("--health-file", str(health))
        eventually(lambda: not health.exists())
        emulator.heal()
        eventually(health.exists)
        assert not token_file.exists()
        stopped(process)

    @pytest.mark.parametrize("log", ["full", "closed", "broken"])
    def test_a_log_that_cannot_be_written(self, emulator: Emulator, auth_file: Path, log: str) -> None:
        redirection = {"full": "2> /dev/full", "closed": "2>&-", "broken": "2>&1 >/dev/null | true"}[log]
        command = f'"$@" {redirection}'
        if log == "broken":
            command = f'set -o pipefail; trap "" PIPE; {{ sleep 1; "$@"; }} {redirection}'
        arguments = [*COMMAND, "pgbouncer", "--auth-file", str(auth_file), "--once"]
        done = subprocess.run(["bash", "-c", command, "bash", *arguments], check=False, timeout=100)
        assert done.returncode == 0
        assert set(passwords(auth_file)) == {"admin", ROLE}

    def test_no_folder_for_temporary_files(self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path) -> None:
        (tmp_path / "sitecustomize.py").write_text("import tempfile\ntempfile._candidate_tempdir_list = lambda: []\n")
        env: dict[str, str | None] = {"PYTHONPATH": str(tmp_path)}
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", env=env)
        assert done.returncode == 0, done.stderr
        assert "limit_unknown" in {event["event"] for event in events(done.stderr)}

    @pytest.mark.parametrize(
        ("given", "complaint"),
        [
            (["orders", "orders"], "--identity orders is given twice"),
            (["orders=a", "orders=b"], "--identity orders is given twice"),
            ([""], "a role has a name"),
            (["=client"], "a role has a name"),
            (["a\nb"], "a role has a name"),
            (["orders="], "the client id after the equals sign is missing"),
        ],
    )
    def test_identities_that_cannot_be(self, cli: Run, auth_file: Path, given: list[str], complaint: str) -> None:
        before = auth_file.read_bytes()
        done = cli("pgbouncer", "--auth-file", str(auth_file), *(f"--identity={identity}" for identity in given))
        assert done.returncode == 2
        assert complaint in done.stderr
        assert auth_file.read_bytes() == before


class TestWhomTheSignalReaches:
    @pytest.fixture
    def innocent(self) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(["sleep", "60"]) as process:
            yield process
            process.kill()

    def once(self, cli: Run, auth_file: Path, pid_file: Path) -> dict[str, Any]:
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", "--pid-file", str(pid_file))
        told = events(done.stderr)[-1]
        assert (done.returncode, told["event"]) == (1, "reload_failed"), done.stderr
        assert ROLE in passwords(auth_file), "it was written all the same"
        return told

    def test_an_innocent_process(
        self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path, innocent: subprocess.Popen[bytes]
    ) -> None:
        pid_file = tmp_path / "pid"
        pid_file.write_text(f"{innocent.pid}\n")
        told = self.once(cli, auth_file, pid_file)
        assert f"SIGHUP was not sent to process {innocent.pid}" in told["error"]
        assert "its program is 'sleep'" in told["error"]
        assert "--admin-dsn" in told["error"]
        assert innocent.poll() is None

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("0", "no process id"),
            ("-1", "no process id"),
            ("\u00b2", "no process id"),
            ("", "no process id"),
            ("1", "SIGHUP was not sent to process 1 "),
            ("9999999999", "no such process"),
        ],
    )
    def test_numbers(
        self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path, text: str, complaint: str
    ) -> None:
        pid_file = tmp_path / "pid"
        pid_file.write_text(text)
        assert complaint in self.once(cli, auth_file, pid_file)["error"]

    def test_itself(self, emulator: Emulator, keeper: Any, auth_file: Path, tmp_path: Path) -> None:
        pid_file, health = tmp_path / "pid", tmp_path / "health"
        emulator.fail(hang=True)
        process = keeper("--pid-file", str(pid_file), "--health-file", str(health))
        pid_file.write_text(str(process.pid))
        emulator.heal()
        eventually(lambda: ROLE in passwords(auth_file))
        time.sleep(1)
        assert not health.exists()
        told = [event for event in stopped(process) if event["event"] == "reload_failed"]
        assert "it is this process itself" in told[0]["error"]

    def test_another_pgbouncer(self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path) -> None:
        program, pid_file = tmp_path / "pgbouncer", tmp_path / "pid"
        program.symlink_to(str(shutil.which("sleep")))
        with subprocess.Popen([program, "60"]) as process:
            pid_file.write_text(str(process.pid))
            os.utime(pid_file, (time.time() - 100, time.time() - 100))
            assert "started after the file was written" in self.once(cli, auth_file, pid_file)["error"]
            assert process.poll() is None
            pid_file.touch()
            if os.geteuid() == 0:
                shutil.chown(pid_file, "nobody")
                assert "another user" in self.once(cli, auth_file, pid_file)["error"]
                assert process.poll() is None
                shutil.chown(pid_file, "root")
            done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", "--pid-file", str(pid_file))
            assert done.returncode == 0, done.stderr
            assert process.wait(30) == -signal.SIGHUP

    @needs_pgbouncer
    def test_a_stale_file(self, emulator: Emulator, pgbouncer: PgBouncer, cli: Run, auth_file: Path) -> None:
        pgbouncer.process.kill()
        pgbouncer.process.wait(30)
        assert "no such process" in self.once(cli, auth_file, pgbouncer.pid_file)["error"]

    def test_a_missing_file_is_said(self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path) -> None:
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", "--pid-file", str(tmp_path / "nothing"))
        told = next(event for event in events(done.stderr) if event["event"] == "not_running")
        assert done.returncode == 0
        assert told["level"] == "warning"
        assert f"the PID file {tmp_path / 'nothing'} does not exist" in told["message"]


class TestTheFile:
    def test_others_lines_keep_their_bytes(self) -> None:
        content = b';; comment\r\n"admin" "secret"\r\n"or""ders" "old"\n  "x\xe2\x80\xa8"   "y\xff\x85"\x0c\n"last" "z"'
        kept = b';; comment\r\n"admin" "secret"\r\n  "x\xe2\x80\xa8"   "y\xff\x85"\x0c\n"last" "z"'
        assert merged(content, {'or"ders': "new"}) == b'"or""ders" "new"\n' + kept
        assert merged(b"", {"a": "b"}) == b'"a" "b"\n'

    def test_ours_stand_before_a_malformed_line(self) -> None:
        once = merged(b'broken\n"orders" "old"\n', {"orders": "new", "billing": "b"})
        assert once == b'"orders" "new"\n"billing" "b"\nbroken\n'
        assert merged(once, {"orders": "new", "billing": "b"}) == once

    @needs_root
    @pytest.mark.parametrize(("group", "mode"), [("nogroup", 0o600), ("root", 0o644), (None, 0)])
    def test_a_file_that_pgbouncer_could_not_read_is_refused(
        self, emulator: Emulator, cli: Run, auth_file: Path, group: str | None, mode: int
    ) -> None:
        if group is None:
            auth_file.unlink()
        else:
            shutil.chown(auth_file, "root", group)
            auth_file.chmod(mode)
        before = group and auth_file.read_bytes()
        done = cli("pgbouncer", "--auth-file", str(auth_file), "--once")
        assert (done.returncode, done.stdout) == (1, "")
        assert "would be readable by root alone" in done.stderr
        assert (auth_file.read_bytes() if auth_file.exists() else None) == before
