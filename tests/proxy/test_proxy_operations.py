"""`proxy`: what operators see of it, and how it starts and stops."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.support.cancelling import cancelled_asleep, needs_cancel_safe
from tests.support.cli import COMMAND
from tests.support.platforms import LIMIT, needs_proc, needs_signals
from tests.support.polling import eventually
from tests.support.ports import reserved_ports
from tests.support.proxy import ROLE, RunProxy, startup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run


def session_user(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT session_user").fetchone()
    assert row is not None
    return str(row[0])


def test_probes_figures_and_health_file(run_proxy: RunProxy, emulator: Emulator, tmp_path: Path) -> None:
    health = tmp_path / "health"
    emulator.latency = 1.5
    proxy = run_proxy("--http", "127.0.0.1:0", "--health-file", str(health))
    assert proxy.get("/readyz") == (503, "no token: the first one is being requested\n")
    assert proxy.get("/livez") == (200, "alive\n")
    assert not health.exists()
    assert eventually(lambda: proxy.get("/readyz") == (200, "ready\n"))
    assert eventually(health.exists)
    assert proxy.get("/other")[0] == 404
    with psycopg.connect(proxy.conninfo) as connection:
        connection.execute("SELECT repeat('x', 100000)")
        assert proxy.figure("connections_open") == 1
        assert proxy.figure("server_bytes_total", server="localhost") > 100_000
        assert 20 < proxy.figure("client_bytes_total") < 10_000
    assert proxy.figure("login_seconds_sum") > 0
    address = proxy.told("http")["on"]
    post = urllib.request.Request(f"http://{address}/readyz", data=b"x")
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(post, timeout=20)  # noqa: S310 - of this test
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=20) as client:
        client.sendall(b"x" * 20_000)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
    assert proxy.stop() == 0
    assert not health.exists()


def test_without_a_credential_it_says_what_was_tried(run_proxy: RunProxy) -> None:
    nothing = dict.fromkeys(("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "PATH"), "")
    nothing["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = "http://127.0.0.1:9"
    proxy = run_proxy("--http", "0", env=nothing)
    assert eventually(lambda: "the first one is being requested" not in proxy.get("/readyz")[1])
    status, text = proxy.get("/readyz")
    assert status == 503
    assert text.startswith(
        "no token: no credential produced a token\n  EnvironmentCredential: not set: AZURE_TENANT_ID"
    )
    assert "azure-identity" not in text
    with pytest.raises(psycopg.OperationalError, match="no credential produced a token"):
        psycopg.connect(proxy.conninfo)
    assert "EnvironmentCredential" in proxy.told("refused")["message"]


def test_a_health_file_that_cannot_be_written_leaves_nothing(run_proxy: RunProxy, tmp_path: Path) -> None:
    health = tmp_path / "health"
    health.mkdir()
    proxy = run_proxy("--health-file", str(health))
    assert proxy.told("health_file", file=str(health))["level"] == "warning"
    assert [path.name for path in tmp_path.glob("health*")] == ["health"]


def test_the_health_file_follows_no_link(run_proxy: RunProxy, tmp_path: Path) -> None:
    precious, health = tmp_path / "precious", tmp_path / "health"
    precious.write_text("keep")
    for link in (health, tmp_path / "health.new"):
        link.symlink_to(precious)
    proxy = run_proxy("--health-file", str(health))
    assert eventually(lambda: health.is_file() and not health.is_symlink())
    assert health.read_text() == "ready\n"
    assert precious.read_text() == "keep"
    assert proxy.stop() == 0
    assert [path.name for path in tmp_path.glob("health*")] == []


def test_a_stop_lets_open_connections_end(run_proxy: RunProxy) -> None:
    proxy = run_proxy("--stop-timeout", "3600")
    with psycopg.connect(proxy.conninfo) as connection:
        proxy.process.send_signal(signal.SIGTERM)
        proxy.told("stopping", open=1)
        assert not (proxy.folder / ".s.PGSQL.5432").exists()
        assert session_user(connection) == ROLE
        assert proxy.process.poll() is None
    assert proxy.process.wait(100) == 0
    assert proxy.told("stopped", open=0)


@pytest.mark.parametrize("seconds", [0.5, 3600.0])
def test_a_stop_ends_after_its_time_or_at_the_second_signal(run_proxy: RunProxy, seconds: float) -> None:
    proxy = run_proxy("--stop-timeout", str(seconds))
    with psycopg.connect(proxy.conninfo) as connection:
        proxy.process.send_signal(signal.SIGINT)
        proxy.told("stopping", open=1, grace=seconds)
        if seconds == 3600:
            proxy.process.send_signal(signal.SIGTERM)
            proxy.told("stopping", open=1, grace=0.0)
        assert proxy.process.wait(100) == 0
        proxy.told("stopped", open=1)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


@pytest.fixture
def ports() -> Iterator[list[int]]:
    """Reserve two consecutive ports, as several servers take."""
    with reserved_ports(2) as numbers:
        yield numbers


@needs_cancel_safe
def test_several_servers_have_a_folder_and_a_port_each(
    run_proxy: RunProxy, emulator: Emulator, ports: list[int]
) -> None:
    servers = f"orders=localhost:{emulator.port} billing=127.0.0.1:{emulator.port}"
    variable = {"AZURE_POSTGRESQL_AUTH_PROXY_SERVERS": servers, "AZURE_POSTGRESQL_AUTH_PROXY_HTTP": "0"}
    proxy = run_proxy("--listen", str(ports[0]), server="", env=variable)
    for name, port in zip(("orders", "billing"), ports):
        for where in (f"host={proxy.folder / name}", f"host=127.0.0.1 port={port}"):
            with psycopg.connect(f"{where} user={ROLE} dbname=postgres") as connection:
                assert session_user(connection) == ROLE
                with cancelled_asleep(emulator, connection.cancel_safe), pytest.raises(psycopg.errors.QueryCanceled):
                    connection.execute("SELECT pg_sleep(60)")
        assert proxy.figure("logins_total", server=name) == 2
        assert proxy.figure("cancels_total", server=name) == 2
    assert len(emulator.token_requests) == 1


@pytest.mark.parametrize(
    ("servers", "heard"),
    [
        ([], "name the server to connect to"),
        (["a.example:5432"], "a.example is not named like a server of Azure"),
        (["a b"], "'a b' is not a server"),
        (["srv.postgres.database.azure.com:0"], "is not a server"),
        (["a=srv.postgres.database.azure.com", "b.postgres.database.azure.com"], "several servers need names"),
        (["a=x.postgres.database.azure.com", "a=y.postgres.database.azure.com"], "two servers have the same name"),
        (["../a=srv.postgres.database.azure.com"], "is not a server"),
        (["postgresql://srv.postgres.database.azure.com"], "is not a server"),
        ([f"srv.postgres.database.azure.com:{'9' * 5000}"], "is not a server"),
    ],
)
def test_what_is_no_server_is_refused(cli: Run, servers: list[str], heard: str) -> None:
    done = cli("proxy", *servers, "--listen", "0")
    assert done.returncode == 2
    assert heard in done.stderr


@pytest.mark.parametrize(
    ("address", "heard"),
    [
        ("65535", "2 servers need as many ports, and the highest one is 65535"),
        ("65536", "expected [HOST:]PORT"),
        ("9" * 5000, "expected [HOST:]PORT"),
        (f"{'a' * 70}.localhost:0", "that is not a host name"),
    ],
)
def test_what_is_no_address_is_refused(cli: Run, address: str, heard: str) -> None:
    done = cli("proxy", *(f"{name}=srv.postgres.database.azure.com" for name in "ab"), "--listen", address)
    assert done.returncode == 2
    assert heard in done.stderr


def test_a_command_inside(cli: Run, emulator: Emulator) -> None:
    script = (
        "import os, psycopg\n"
        "with psycopg.connect('dbname=postgres') as connection:\n"
        "    print(connection.execute('SELECT session_user').fetchone()[0], os.environ['PGHOST'])\n"
        "raise SystemExit(7)"
    )
    server = (f"localhost:{emulator.port}", "--sslrootcert", emulator.ca_file, "--user", ROLE)
    done = cli("proxy", *server, "--", sys.executable, "-c", script)
    assert done.returncode == 7, done.stderr
    user, folder = done.stdout.split()
    assert user == ROLE
    assert not Path(folder).exists()
    assert cli("proxy", *server, "--", "no-such-program").returncode == 127


def test_no_variable_leads_a_command_past_the_proxy(cli: Run, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "services").write_text("[elsewhere]\nhost=127.0.0.1\nport=1\n")
    variables = {
        "PGSERVICEFILE": str(tmp_path / "services"),
        "PGSERVICE": "elsewhere",
        "PGGSSENCMODE": "require",
        "PGREQUIREAUTH": "scram-sha-256",
        "PGREQUIREPEER": "nobody-at-all",
        "PGSSLCERTMODE": "require",
        "PGSSLMODE": "verify-full",
    }
    server = (f"localhost:{emulator.port}", "--sslrootcert", emulator.ca_file, "--user", ROLE, "--database", "postgres")
    script = "import psycopg; print(psycopg.connect().execute('SELECT session_user').fetchone()[0])"
    done = cli("proxy", *server, "--listen", "0", "--", sys.executable, "-c", script, env=variables)
    assert done.stdout.strip() == ROLE, done.stderr
    if sys.platform != "win32":
        done = cli("proxy", *server, "--", sys.executable, "-c", script, env=variables)
        assert done.stdout.strip() == ROLE, done.stderr


def test_serves_without_the_service_manager_that_the_environment_names(run_proxy: RunProxy, tmp_path: Path) -> None:
    proxy = run_proxy(env={"NOTIFY_SOCKET": f"/{tmp_path.name}"})
    with psycopg.connect(proxy.conninfo) as connection:
        assert session_user(connection) == ROLE
    assert proxy.process.poll() is None


def test_sockets_and_notifications_of_systemd(run_proxy: RunProxy, emulator: Emulator, tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        manager.settimeout(30)
        address = f"\0{tmp_path.name}-{os.getpid()}"
        manager.bind(address)
        os.set_inheritable(listener.fileno(), True)
        command = [*COMMAND, "proxy", f"localhost:{emulator.port}", "--sslrootcert", emulator.ca_file]
        script = f'exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
        environment = {**os.environ, "NOTIFY_SOCKET": "@" + address[1:], "LISTEN_FDNAMES": "any"}
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command],
            env=environment,
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        try:
            assert manager.recv(100).startswith(b"READY=1\nMAINPID=")
            port = listener.getsockname()[1]
            with psycopg.connect(
                f"host=127.0.0.1 port={port} user={ROLE} dbname=postgres sslmode=disable"
            ) as connection:
                assert session_user(connection) == ROLE
            process.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()


@needs_proc
@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("datagram", "is not a socket that listens"),
        ("silent", "is not a socket that listens"),
        ("file", "Socket operation on non-socket"),
        ("closed", "Bad file descriptor"),
    ],
)
def test_what_is_no_listening_socket_is_refused(emulator: Emulator, kind: str, complaint: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        types = {"datagram": socket.SOCK_DGRAM, "silent": socket.SOCK_STREAM}
        if kind in types:
            given = stack.enter_context(socket.socket(socket.AF_UNIX, types[kind])).fileno()
        else:
            given = stack.enter_context((tmp_path / "file").open("w")).fileno()
        command = [*COMMAND, "proxy", f"localhost:{emulator.port}", "--sslrootcert", emulator.ca_file]
        opened = "3>&-" if kind == "closed" else f"3<&{given}"
        script = f'exec {opened}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
        done = subprocess.run(
            ["bash", "-c", script, "bash", *command],
            pass_fds=[given],
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("azure-postgresql-auth: proxy: descriptor 3 of LISTEN_FDS")
    assert complaint in done.stderr


@needs_signals
def test_a_service_manager_that_does_not_read(run_proxy: RunProxy, tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler,
    ):
        path = str(tmp_path / "notify")
        manager.bind(path)
        filler.connect(path)
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                filler.send(b"x")
        proxy = run_proxy(env={"NOTIFY_SOCKET": path})
        proxy.told("listening")
        assert proxy.stop() == 0
        assert [event["event"] for event in proxy.events()][-1] == "stopped"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-connections", "0"),
        ("--max-connections", "-1"),
        ("--max-connections", "1" + "0" * 30),
        ("--client-timeout", "-1"),
        ("--login-timeout", "x"),
        ("--stop-timeout", "nan"),
        ("--stop-timeout", "1e300"),
        ("--user", ""),
        ("--database", ""),
    ],
)
def test_a_value_that_is_out_of_range_is_refused_at_once(cli: Run, option: str, value: str) -> None:
    done = cli("proxy", "srv.postgres.database.azure.com", "--listen", "0", f"{option}={value}")
    assert done.returncode == 2
    assert f"argument {option}: " in done.stderr


@needs_signals
def test_signals_that_come_while_it_starts_take_effect(emulator: Emulator) -> None:
    """Whoever reads `listening` in the log may send one at once."""
    script = """
import os, signal, sys
from azure_postgresql_auth.cli import main
from azure_postgresql_auth.cli.proxy import service
started = service.Proxy
def start(*arguments, **keywords):
    proxy = started(*arguments, **keywords)
    for number in signal.SIGHUP, signal.SIGTERM:
        os.kill(os.getpid(), number)
    return proxy
service.Proxy = start
sys.exit(main(sys.argv[1:]))
"""
    arguments = ("proxy", f"localhost:{emulator.port}", "--sslrootcert", emulator.ca_file, "--listen", "0")
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    # The first token may come meanwhile.
    assert [event for event in told if event not in {"listening", "token"}] == ["reloaded", "stopping", "stopped"]


def test_a_client_that_is_killed_ends_its_session(run_proxy: RunProxy, emulator: Emulator) -> None:
    proxy = run_proxy("--http", "0")
    session = f"c = psycopg.connect({proxy.conninfo!r}); print(c.info.backend_pid, flush=True)"
    script = f"import psycopg, time; {session}; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        pid = int(client.stdout.readline())
        assert has_session(emulator, pid)
        client.kill()
    assert eventually(lambda: not has_session(emulator, pid))
    assert proxy.figure("connections_open") == 0


def has_session(emulator: Emulator, pid: int) -> bool:
    """Return whether a session is there; other tests may have left some of the same role."""
    return bool(emulator.sql(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"))  # noqa: S608 - a number


def test_a_proxy_that_is_killed_leaves_no_session(run_proxy: RunProxy, emulator: Emulator) -> None:
    proxy = run_proxy()
    with psycopg.connect(proxy.conninfo) as connection:
        pid = connection.info.backend_pid
        assert has_session(emulator, pid)
        proxy.process.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert eventually(lambda: not has_session(emulator, pid))


def test_a_server_that_crashes_ends_its_sessions_and_is_found_again(run_proxy: RunProxy) -> None:
    from azure_postgresql_auth.emulator import Emulator

    with Emulator() as own:
        variables = {name: value for name, value in own.env.items() if not name.startswith("PG")}
        proxy = run_proxy("--sslrootcert", own.ca_file, server=f"localhost:{own.port}", env=variables)
        with psycopg.connect(proxy.conninfo) as connection, psycopg.connect(proxy.conninfo) as other:
            # The emulator's server does not flush commits to disk itself.
            own.sql("CHECKPOINT")
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            for session in (connection, other):
                with pytest.raises(psycopg.OperationalError):
                    session.execute("SELECT pg_sleep(100)")

        def new_session() -> bool:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(proxy.conninfo) as connection:
                return session_user(connection) == ROLE
            return False

        assert eventually(new_session)
        assert proxy.stop() == 0


def test_a_session_that_the_server_ends_hears_its_last_words(run_proxy: RunProxy, emulator: Emulator) -> None:
    proxy = run_proxy()
    with psycopg.connect(proxy.conninfo) as connection:
        emulator.sql(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("SELECT 1")
    with psycopg.connect(proxy.conninfo) as connection:
        assert session_user(connection) == ROLE


def test_nothing_grows_and_nothing_tells_of_a_token(run_proxy: RunProxy, emulator: Emulator) -> None:
    proxy = run_proxy("--http", "0")

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{proxy.process.pid}/fd"))  # noqa: PTH208 - a count alone

    def memory() -> int:
        lines = Path(f"/proc/{proxy.process.pid}/smaps_rollup").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))

    def churn(rounds: int) -> None:
        for number in range(rounds):
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(proxy.conninfo) as connection:
                connection.execute("SELECT repeat('x', 50000)")
            with proxy.connect() as client:
                client.sendall(startup(user="nobody")[: number % 30])
        assert eventually(lambda: proxy.figure("connections_open") == 0)

    churn(60)
    before = descriptors(), memory()
    churn(120)
    assert descriptors() <= before[0] + 1
    assert memory() <= before[1] + 1024
    token = emulator.token(emulator.identity)[:10]
    process = Path(f"/proc/{proxy.process.pid}")
    for text in (proxy.log_path.read_text(), (process / "cmdline").read_text(), (process / "environ").read_text()):
        assert token not in text


def test_an_idle_connection_is_small_and_takes_no_time(run_proxy: RunProxy) -> None:
    proxy = run_proxy()

    def memory() -> int:
        lines = Path(f"/proc/{proxy.process.pid}/smaps_rollup").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))

    def processor() -> int:
        fields = Path(f"/proc/{proxy.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    count = 60
    with contextlib.ExitStack() as stack:
        # The first ones bring the buffers of the thread.
        first = stack.enter_context(psycopg.connect(proxy.conninfo))
        first.execute("SELECT repeat('x', 5000000)")
        before = memory()
        others = [stack.enter_context(psycopg.connect(proxy.conninfo)) for _ in range(count)]
        assert (memory() - before) / count < 24
        for other in others:
            other.execute("SELECT repeat('x', 1000000)")
        assert (memory() - before) / count < 24
        spent = processor()
        time.sleep(3)
        assert processor() - spent <= 3
