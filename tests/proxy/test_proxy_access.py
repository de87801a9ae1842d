"""`proxy`: who may come in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import stat
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import psycopg
import pytest
import trustme
from azure_postgresql_auth.cli.failure import Failure
from azure_postgresql_auth.cli.proxy.listeners import SOCKET_NAME, Sockets
from azure_postgresql_auth.cli.proxy.server_arguments import Server as Upstream

from tests.support.cancelling import cancelled_asleep, needs_cancel_safe
from tests.support.platforms import needs_modes, needs_root
from tests.support.polling import eventually
from tests.support.proxy import ROLE, SSL_REQUEST, Proxy, RunProxy, error_of, message, read_messages, startup
from tests.support.servers import Server, forward

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run
PASSWORD = "sesame, open"


def session_user(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT session_user").fetchone()
    assert row is not None
    return str(row[0])


class Files(NamedTuple):
    """What a listener for other machines needs."""

    arguments: list[str]
    authority: str
    passwords: Path


@pytest.fixture
def files(tmp_path: Path, emulator: Emulator) -> Files:
    """Return a certificate, its key, and two users: one with a password, one with PostgreSQL's verifier of it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    paths = [tmp_path / name for name in ("cert.pem", "key.pem", "passwords", "authority.pem")]
    paths[0].write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
    paths[1].write_bytes(certificate.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(paths[3]))
    emulator.add_group("second", [emulator.identity])
    emulator.sql(f"CREATE ROLE kept PASSWORD '{PASSWORD}'")
    verifier = emulator.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'kept'")[0][0]
    emulator.sql("DROP ROLE kept")
    paths[2].write_text(f"# who may come in\n{ROLE}:{PASSWORD}\nsecond:{verifier}\n")
    for path in paths[1:3]:
        path.chmod(0o600)
    arguments = ["--tls-cert", str(paths[0]), "--tls-key", str(paths[1]), "--password-file", str(paths[2])]
    return Files(arguments, str(paths[3]), paths[2])


@pytest.fixture
def remote(run_proxy: RunProxy, files: Files) -> Proxy:
    """One that other machines could reach; these tests are on this one."""
    arguments = ("--listen", "0.0.0.0:0", "--allow-remote", "--http", "127.0.0.1:0", *files.arguments)
    return run_proxy(*arguments, socket_folder=False)


def conninfo(proxy: Proxy, files: Files, **parameters: str) -> str:
    given = {
        "host": "127.0.0.1",
        "port": str(proxy.port),
        "user": ROLE,
        "dbname": "postgres",
        "password": f"'{PASSWORD}'",
        "sslmode": "verify-full",
        "sslrootcert": files.authority,
        "connect_timeout": "20",
        **parameters,
    }
    return " ".join(f"{name}={value}" for name, value in given.items())


def test_a_password_over_tls_lets_in(remote: Proxy, files: Files) -> None:
    for user in (ROLE, "second"):
        for more in ({}, {"require_auth": "scram-sha-256"}, {"channel_binding": "disable"}):
            with psycopg.connect(conninfo(remote, files, user=user, **more)) as connection:
                assert session_user(connection) == user
    context = ssl.create_default_context(cafile=files.authority)

    async def main() -> str:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=remote.port, user=ROLE, password=PASSWORD, database="postgres", ssl=context
        )
        try:
            return str(await connection.fetchval("SELECT session_user"))
        finally:
            await connection.close()

    assert asyncio.run(main()) == ROLE


@needs_cancel_safe
def test_a_cancel_request_under_tls_succeeds_for_the_client_too(
    remote: Proxy, files: Files, emulator: Emulator
) -> None:
    succeeded = []
    with psycopg.connect(conninfo(remote, files)) as connection:

        def cancel() -> None:
            connection.cancel_safe()
            succeeded.append(True)

        with cancelled_asleep(emulator, cancel), pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(60)")
    assert succeeded


@pytest.mark.parametrize(
    ("parameters", "heard"),
    [
        ({"password": "wrong"}, "azure-postgresql-auth proxy: password authentication failed for user"),
        ({"user": "nobody"}, 'azure-postgresql-auth proxy: password authentication failed for user "nobody"'),
        ({"sslmode": "disable"}, "unencrypted connections from other machines are not accepted"),
        ({"channel_binding": "require"}, "channel binding"),
        ({"sslnegotiation": "direct"}, "SSL"),
        ({"require_auth": "password"}, "authentication method requirement"),
    ],
)
def test_others_stay_out_and_reach_no_server(
    remote: Proxy, files: Files, emulator: Emulator, parameters: dict[str, str], heard: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match=heard):
        psycopg.connect(conninfo(remote, files, **parameters))
    assert not emulator.logins
    assert PASSWORD not in Path(remote.log_path).read_text()


def test_what_comes_before_tls_is_not_taken_for_encrypted(remote: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", remote.port), timeout=20) as client:
        client.sendall(SSL_REQUEST + startup(user=ROLE))
        assert "received unencrypted data" in error_of(read_messages(client))["M"]


def test_a_malformed_answer_to_scram_is_refused(run_proxy: RunProxy, files: Files) -> None:
    proxy = run_proxy("--password-file", str(files.passwords))
    initial = b"SCRAM-SHA-256\0" + struct.pack("!I", 10)
    for answer in (
        message(b"p", b"SCRAM-SHA-256"),
        message(b"p", initial + b"n,,n=,r=a"),
        message(b"Q", b"SELECT 1\0"),
    ):
        with proxy.connect() as client:
            client.sendall(startup(user=ROLE, database="postgres") + answer)
            messages = read_messages(client)
        assert messages[0][1] == struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"
        assert error_of(messages)["C"] == "08P01"
    with proxy.connect() as client:
        client.sendall(startup(user=ROLE) + b"p" + struct.pack("!I", 1 << 30))
        assert error_of(read_messages(client))["C"] == "08P01"


def test_other_machines_need_a_password_and_tls(run_proxy: RunProxy, files: Files, tmp_path: Path) -> None:
    public = ("--listen", "0.0.0.0:0")
    half = ("--allow-remote", "--password-file", str(files.passwords))
    opened = tmp_path / "opened"
    opened.write_text(f"{ROLE}:{PASSWORD}\n")
    opened.chmod(0o644)
    for arguments, heard in (
        (public, "can be reached from other machines; listen on 127.0.0.1, or give --allow-remote"),
        ((*public, "--allow-remote"), "which needs a --password-file, a --tls-cert and a --tls-key"),
        ((*public, *half), "which needs a --password-file, a --tls-cert and a --tls-key"),
        ((*public, *half, "--tls-cert", "x"), "--tls-cert and --tls-key belong together"),
        (("--listen", "0", "--http", "0.0.0.0:0"), "--http 0.0.0.0:0 can be reached from other machines"),
        (("--listen", "0", "--password-file", str(opened)), "other users can read it"),
        (("--listen", "0", "--password-file", str(tmp_path / "missing")), "missing"),
        (("--listen", "nowhere"), "expected \\[HOST:\\]PORT"),
        ((), "name where clients connect"),
    ):
        proxy = run_proxy(*arguments, socket_folder=False, ready=False)
        assert proxy.process.wait(60) == 2
        assert heard.replace("\\", "") in Path(proxy.log_path).read_text()
        assert not proxy.events("listening")


@pytest.mark.parametrize(("value", "is_on"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_the_variable_of_a_switch_can_turn_it_off(cli: Run, value: str, is_on: Any) -> None:
    done = cli(
        *("proxy", "srv.postgres.database.azure.com", "--listen", "0.0.0.0:0"),
        env={"AZURE_POSTGRESQL_AUTH_PROXY_ALLOW_REMOTE": value},
    )
    assert done.returncode == 2
    assert ("or give --allow-remote" in done.stderr) != is_on
    assert ("which needs a --password-file" in done.stderr) == is_on


def test_the_socket_is_this_users_alone(run_proxy: RunProxy, tmp_path: Path) -> None:
    proxy = run_proxy()
    assert stat.S_IMODE(proxy.folder.stat().st_mode) == 0o700
    path = proxy.folder / ".s.PGSQL.5432"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = run_proxy("--socket", str(proxy.folder), socket_folder=False, ready=False)
    assert second.process.wait(60) == 1
    assert "is in use by another process" in Path(second.log_path).read_text()
    # Killed, it leaves its socket; the next one takes its place.
    proxy.process.kill()
    proxy.process.wait()
    assert path.exists()
    third = run_proxy("--socket", str(proxy.folder), socket_folder=False)
    with psycopg.connect(proxy.conninfo) as connection:
        assert session_user(connection) == ROLE
    assert third.stop() == 0
    assert not path.exists()


@needs_modes
def test_a_socket_that_does_not_listen_yet_is_not_taken_for_a_stale_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Upstream("a", "localhost", 5432, "scope", "roots")
    first, second, heard = Sockets(), Sockets(), []
    change_mode = Path.chmod

    def start_second() -> None:
        with pytest.raises(Failure, match="is in use by another process") as caught:
            second.listen_in(tmp_path, server)
        heard.append(caught.value)

    def close(sockets: Sockets) -> None:
        for descriptor in sockets.detach(server):
            os.close(descriptor)

    other = threading.Thread(target=start_second)

    def between_bind_and_listen(path: Path, mode: int) -> None:
        change_mode(path, mode)
        if other.ident is None:
            other.start()
            other.join(1)

    tmp_path.chmod(0o700)
    monkeypatch.setattr(Path, "chmod", between_bind_and_listen)
    with contextlib.ExitStack() as stack:
        for sockets in (first, second):
            stack.callback(close, sockets)
        first.listen_in(tmp_path, server)
        other.join(20)
        assert heard
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / SOCKET_NAME))
        second.remove_files()
        assert (tmp_path / SOCKET_NAME).is_socket()
        first.remove_files()
        assert not (tmp_path / SOCKET_NAME).exists()


def test_a_folder_that_others_can_write_to_is_refused(run_proxy: RunProxy, tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    proxy = run_proxy("--socket", str(folder), socket_folder=False, ready=False)
    assert proxy.process.wait(60) == 1
    assert "other users can put their own socket there" in Path(proxy.log_path).read_text()


@needs_root
@pytest.mark.parametrize("below", ["", "below"])
def test_another_users_symbolic_link_is_refused(run_proxy: RunProxy, tmp_path: Path, below: str) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.mkdir(mode=0o700)
    link.symlink_to(target)
    assert run_proxy("--socket", str(link / below), socket_folder=False).stop() == 0
    outer = tmp_path / "outer"
    outer.symlink_to(link)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    for way in (link, outer):
        proxy = run_proxy("--socket", str(way / below), socket_folder=False, ready=False)
        assert proxy.process.wait(60) == 1
        assert f"{link}: this symbolic link belongs to another user" in Path(proxy.log_path).read_text()


def test_role_and_database_can_be_pinned(run_proxy: RunProxy) -> None:
    proxy = run_proxy("--user", ROLE, "--database", "postgres")
    accepted: list[dict[str, Any]] = [{"user": ROLE, "database": "postgres"}, {"user": ROLE}, {}]
    for parameters in accepted:
        with proxy.connect() as client:
            client.sendall(startup(**parameters) + message(b"X"))
            assert read_messages(client)[-1] == (b"Z", b"I")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"user": "other"}, f'only connections with user "{ROLE}" are accepted here, not "other"'),
        ({"user": ROLE, "database": "template1"}, 'only connections with database "postgres" are accepted here'),
    ]
    for parameters, heard in refused:
        with proxy.connect() as client:
            client.sendall(startup(**parameters))
            error = error_of(read_messages(client))
        assert error["C"] == "28000"
        assert heard in error["M"]


def test_a_name_that_a_client_chooses_does_not_reach_a_terminal(run_proxy: RunProxy) -> None:
    proxy = run_proxy("--user", "orders")
    name = "a\x9b31m\u202e\x7f"
    with pytest.raises(psycopg.OperationalError, match="are accepted here"):
        psycopg.connect(proxy.conninfo, user=name)
    assert name in proxy.told("refused")["message"]
    assert all(32 <= byte < 127 or byte == 10 for byte in proxy.log_path.read_bytes())


def test_too_many_connections_are_refused_in_words(run_proxy: RunProxy) -> None:
    proxy = run_proxy("--max-connections", "3", "--http", "0")
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(psycopg.connect(proxy.conninfo))
        with pytest.raises(psycopg.OperationalError, match="too many connections: --max-connections=3 are open"):
            psycopg.connect(proxy.conninfo)
    assert eventually(lambda: proxy.figure("connections_open") == 0)
    with psycopg.connect(proxy.conninfo) as connection:
        assert session_user(connection) == ROLE
    assert proxy.figure("login_failures_total", reason="limit") == 1


def test_a_client_that_has_gone_keeps_no_place(run_proxy: RunProxy) -> None:
    """Clients give up before the proxy does, and try again."""
    with Server(lambda client: client.recv(8) and client.recv(8)) as stalling:
        options = ("--max-connections", "1", "--login-timeout", "600", "--http", "0")
        proxy = run_proxy(*options, server=f"localhost:{stalling.port}")

        def give_up(number: int) -> None:
            with proxy.connect() as client:
                client.sendall(startup(user=ROLE, database="postgres"))
                eventually(lambda: len(stalling.clients) == number)
            eventually(lambda: proxy.figure("connections_open") == 0)

        give_up(1)
        give_up(2)
        assert proxy.figure("login_failures_total", reason="limit") == 0


def test_silent_clients_keep_nobody_out(run_proxy: RunProxy) -> None:
    proxy = run_proxy("--max-connections", "3", "--client-timeout", "60", "--http", "0")
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(proxy.connect()) for _ in range(20)]
        sessions = [stack.enter_context(psycopg.connect(proxy.conninfo)) for _ in range(3)]
        assert [session_user(session) for session in sessions] == [ROLE] * 3
        # The oldest ones had to give way, and were told so.
        for client in silent[:17]:
            error = error_of(read_messages(client))
            assert error["C"] == "53300"
            assert "azure-postgresql-auth proxy: too many clients connect at once" in error["M"]
        assert proxy.told("refused", reason="limit")
        assert proxy.figure("connections_open") <= 6


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        pytest.param(startup(user=ROLE)[:-5], [b"E"], id="half a startup message"),
        pytest.param(SSL_REQUEST[:6], [b"E"], id="half a request for TLS"),
        pytest.param(startup(user=ROLE), [b"R", b"E"], id="no password yet"),
    ],
)
def test_a_slow_client_that_gives_way_is_told(
    run_proxy: RunProxy, files: Files, said: bytes, heard: list[bytes]
) -> None:
    proxy = run_proxy("--max-connections", "3", "--client-timeout", "60", "--password-file", str(files.passwords))
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(proxy.connect())
        slow.sendall(said)
        if heard[0] == b"R":
            assert slow.recv(1, socket.MSG_PEEK) == b"R"
        for _ in range(3):
            stack.enter_context(proxy.connect())
        messages = read_messages(slow)
        assert [kind for kind, _ in messages] == heard
        assert error_of(messages)["C"] == "53300"


def test_nothing_is_said_in_the_midst_of_a_tls_handshake(run_proxy: RunProxy, files: Files) -> None:
    """There it would be taken for TLS, or be what somebody in between has written."""
    arguments = ("--listen", "127.0.0.1:0", "--max-connections", "3", "--client-timeout", "60", *files.arguments)
    proxy = run_proxy(*arguments, socket_folder=False)
    with contextlib.ExitStack() as stack:

        def come() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=20))

        slow = come()
        slow.sendall(SSL_REQUEST)
        assert slow.recv(1) == b"S"
        for _ in range(3):
            come()
        assert slow.recv(1) == b""


@needs_cancel_safe
def test_silent_clients_displace_no_cancel_request(run_proxy: RunProxy, emulator: Emulator) -> None:
    is_crowded = threading.Event()

    def serve(client: socket.socket) -> None:
        if len(server.clients) > 1:
            assert is_crowded.wait(60)
        forward(client, emulator.port)

    with Server(serve) as server, contextlib.ExitStack() as stack:
        arguments = ("--max-connections", "3", "--client-timeout", "60")
        proxy = run_proxy(*arguments, server=f"localhost:{server.port}")
        connection = stack.enter_context(psycopg.connect(proxy.conninfo))

        def cancel() -> None:
            request = threading.Thread(target=connection.cancel_safe)
            request.start()
            eventually(lambda: len(server.clients) > 1)
            for _ in range(4):
                stack.enter_context(proxy.connect())
            proxy.told("refused", reason="limit")
            is_crowded.set()
            request.join()

        with cancelled_asleep(emulator, cancel), pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(60)")


def test_silent_http_clients_keep_nobody_out(run_proxy: RunProxy) -> None:
    proxy = run_proxy("--http", "0")
    port = int(proxy.told("http")["on"].rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        assert proxy.get("/livez") == (200, "alive\n")
        assert eventually(lambda: len(os.listdir(f"/proc/{proxy.process.pid}/fd")) < 80)  # noqa: PTH208 - a count alone


def test_a_client_that_requires_a_password_says_so_itself(run_proxy: RunProxy) -> None:
    proxy = run_proxy()
    for parameter in ("require_auth=scram-sha-256", "channel_binding=require"):
        with pytest.raises(psycopg.OperationalError, match="did not complete authentication|channel binding"):
            psycopg.connect(f"{proxy.conninfo} {parameter}")
