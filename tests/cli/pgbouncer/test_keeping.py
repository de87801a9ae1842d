"""`pgbouncer`: the file stays fresh through outages, restarts and other writers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth import core
from azure_postgresql_auth.cli.failure import Failure
from azure_postgresql_auth.cli.pgbouncer.userlist import merged

from tests.support.cli import COMMAND
from tests.support.keeping import ROLE, events, passwords, stopped
from tests.support.platforms import needs_root
from tests.support.polling import eventually
from tests.support.servers import Server, mute_postgresql

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run


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

    def test_it_stops_at_once_while_the_console_does_not_answer(self, emulator: Emulator, keeper: Any) -> None:
        asked = threading.Event()

        def serve(client: socket.socket) -> None:
            asked.set()
            mute_postgresql(client)

        with Server(serve) as console:
            process = keeper("--admin-dsn", f"host=127.0.0.1 port={console.port} user=admin sslmode=disable")
            assert asked.wait(60)
            begun = time.monotonic()
            told = stopped(process)
            assert time.monotonic() - begun < 15
        assert "reloaded" not in {event["event"] for event in told}

    def test_a_console_that_does_not_answer_is_given_up(self, emulator: Emulator, cli: Run, auth_file: Path) -> None:
        with Server(mute_postgresql) as console:
            dsn = f"host=127.0.0.1 port={console.port} user=admin sslmode=disable"
            done = cli("pgbouncer", "--auth-file", str(auth_file), "--once", "--admin-dsn", dsn)
        assert done.returncode == 1
        told = events(done.stderr)
        assert told[-1]["event"] == "reload_failed"
        assert told[-1]["error"] == "no answer within 15 s"
        assert passwords(auth_file)[ROLE]

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

    def test_limit_of_an_old_pgbouncer_is_respected(
        self, emulator: Emulator, cli: Run, auth_file: Path, tmp_path: Path
    ) -> None:
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
        # It writes as soon as it has a token, while the third process starts.
        eventually(lambda: other.client_id in {request.client_id for request in emulator.token_requests})
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
    def test_invalid_identities(self, cli: Run, auth_file: Path, given: list[str], complaint: str) -> None:
        before = auth_file.read_bytes()
        done = cli("pgbouncer", "--auth-file", str(auth_file), *(f"--identity={identity}" for identity in given))
        assert done.returncode == 2
        assert complaint in done.stderr
        assert auth_file.read_bytes() == before


class TestTheFile:
    def test_others_lines_keep_their_bytes(self) -> None:
        content = b';; comment\r\n"admin" "secret"\r\n"or""ders" "old"\n  "x\xe2\x80\xa8"   "y\xff\x85"\x0c\n"last" "z"'
        kept = b';; comment\r\n"admin" "secret"\r\n  "x\xe2\x80\xa8"   "y\xff\x85"\x0c\n"last" "z"'
        assert merged(content, {'or"ders': "new"}) == b'"or""ders" "new"\n' + kept
        assert merged(b"", {"a": "b"}) == b'"a" "b"\n'

    def test_a_line_break_makes_no_second_line(self) -> None:
        for user, token, name in (("a\nb", "secret", "user"), ("a", 'secret"\n"admin" "x', "token")):
            with pytest.raises(Failure, match=f"^the {name} has a line break, which the file cannot hold$"):
                merged(b"", {user: token})

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
