"""`pgbouncer`: with the real PgBouncer between a client and the emulator, where it is installed."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from azure_postgresql_auth import core

from tests.support.keeping import PROGRAM, ROLE, PgBouncer, events, needs_pgbouncer, passwords, stopped
from tests.support.platforms import ROOT
from tests.support.polling import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run


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

    def test_long_token_within_the_limit_logs_in(
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
        account = {"user": "nobody", "group": (home / "run").stat().st_gid, "extra_groups": []} if ROOT else {}
        ran = subprocess.run(
            [PROGRAM, str(ini)], capture_output=True, text=True, timeout=30, check=False, cwd="/", **account
        )  # type: ignore[call-overload]
        assert "nowhere to listen" in ran.stderr
        assert "ERROR" not in ran.stderr
        assert "WARNING" not in ran.stderr
