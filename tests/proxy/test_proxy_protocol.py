"""`proxy`: PostgreSQL's protocol, and how much of it passes at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
import trustme

from tests.support.cancelling import cancelled_asleep, needs_cancel_safe
from tests.support.polling import eventually
from tests.support.proxy import (
    GSSENC_REQUEST,
    PROTOCOL_3_0,
    ROLE,
    SSL_REQUEST,
    Proxy,
    RunProxy,
    message,
    query,
    read_messages,
    startup,
    who,
)

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


def test_a_login_takes_as_few_round_trips_as_it_can(run_proxy: RunProxy, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    # PostgreSQL's default up to version 17; it asks for another key share if it gets none of this group.
    context.set_ecdh_curve("prime256v1")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        place = f"localhost:{listener.getsockname()[1]}"
        proxy = run_proxy("--sslrootcert", str(tmp_path / "ca.pem"), server=place)
        with proxy.connect() as client:
            client.sendall(startup(user=ROLE, database="postgres"))
            server, _ = listener.accept()
            with server:
                server.settimeout(20)
                assert server.recv(65536) == SSL_REQUEST
                server.sendall(b"S")
                incoming.write(server.recv(65536))
                with pytest.raises(ssl.SSLWantReadError):
                    tls.do_handshake()
                server.sendall(outgoing.read())
                # The end of the handshake and the login arrive together.
                incoming.write(server.recv(65536))
                tls.do_handshake()
                assert tls.read(65536) == startup(user=ROLE, database="postgres")


@needs_cancel_safe
def test_cancel_requests_reach_the_server(proxy: Proxy, emulator: Emulator) -> None:
    with (
        psycopg.connect(proxy.conninfo) as connection,
        cancelled_asleep(emulator, connection.cancel_safe),
        pytest.raises(psycopg.errors.QueryCanceled),
    ):
        connection.execute("SELECT pg_sleep(60)")

    async def main() -> None:
        other = await asyncpg.connect(proxy.url)
        with pytest.raises(asyncio.TimeoutError):
            await other.execute("SELECT pg_sleep(30)", timeout=0.5)
        assert await other.fetchval("SELECT 1") == 1
        await other.close()

    asyncio.run(main())
    assert proxy.figure("cancels_total") == 2


def test_a_key_that_no_session_has_reaches_no_server(proxy: Proxy, emulator: Emulator) -> None:
    before = proxy.figure("connections_total")
    for key in (bytes(8), bytes(260)):
        with proxy.connect() as client:
            client.sendall(struct.pack("!II", len(key) + 8, 80877102) + key)
            assert client.recv(10) == b""
    assert proxy.figure("connections_total") == before + 2
    assert proxy.figure("cancels_total") == 0


def test_protocol_3_2_passes_through(proxy: Proxy) -> None:
    with proxy.connect() as client:
        client.sendall(
            startup(PROTOCOL_3_0 | 2, user=ROLE, database="postgres", **{"_pq_.nothing": "on"}) + message(b"X")
        )
        messages = read_messages(client)
    kinds = [kind for kind, _ in messages]
    assert kinds[0] in {b"v", b"R"}
    assert kinds[-1] == b"Z"
    # PostgreSQL 18 and later agree, and give longer keys; older ones negotiate version 3.0.
    keys = [body for kind, body in messages if kind == b"K"]
    assert len(keys) == 1
    assert len(keys[0]) >= 8


def test_requests_for_encryption_are_answered_and_may_come_byte_by_byte(proxy: Proxy) -> None:
    with proxy.connect() as client:
        for request in (GSSENC_REQUEST, SSL_REQUEST):
            for byte in request:
                client.sendall(bytes([byte]))
                time.sleep(0.001)
            assert client.recv(10) == b"N"
        for byte in startup(user=ROLE, database="postgres"):
            client.sendall(bytes([byte]))
        client.sendall(message(b"X"))
        assert [kind for kind, _ in read_messages(client)][-1] == b"Z"


@pytest.mark.parametrize(
    ("sent", "sqlstate", "heard"),
    [
        (bytes.fromhex("16030100c8010000c40303"), "08P01", "use sslmode=disable"),
        (b"GET / HTTP/1.1\r\n\r\n", "08P01", "invalid length of startup packet"),
        (startup(2 << 16, user=ROLE), "0A000", "unsupported frontend protocol 2.0"),
        (SSL_REQUEST * 2, "08P01", "asked for TLS twice"),
        (GSSENC_REQUEST * 2, "08P01", "asked for GSSAPI encryption twice"),
        (struct.pack("!II", 13, PROTOCOL_3_0) + b"user\0", "08P01", "invalid startup packet layout"),
        (struct.pack("!I", 1 << 30), "08P01", "invalid length of startup packet"),
        (struct.pack("!II", 24, PROTOCOL_3_0) + b"user\0a\0user\0bb\0\0", "08P01", "names user more than once"),
    ],
)
def test_what_is_no_start_is_refused_in_words(proxy: Proxy, sent: bytes, sqlstate: str, heard: str) -> None:
    with proxy.connect() as client:
        client.sendall(sent)
        data = b""
        while part := client.recv(4096):
            data += part
    assert f"C{sqlstate}".encode() in data
    assert heard.encode() in data
    assert proxy.told("refused", reason="refused")


def test_clients_that_stall_are_let_go_at_each_byte(run_proxy: RunProxy) -> None:
    proxy = run_proxy("--client-timeout", "0.5")
    whole = SSL_REQUEST + startup(user=ROLE, database="postgres")
    clients = []
    for end in range(len(whole)):
        client = proxy.connect()
        client.sendall(whole[:end])
        clients.append(client)
    for client in clients:
        with client:
            client.settimeout(10)
            assert client.recv(10) in {b"", b"N"}
            assert client.recv(10) == b""
    with psycopg.connect(proxy.conninfo) as connection:
        assert who(connection) == ROLE


def test_a_query_sent_too_early_gets_its_answer_though_the_client_has_ended(proxy: Proxy) -> None:
    for _ in range(5):
        with proxy.connect() as client:
            client.sendall(startup(user=ROLE, database="postgres") + query("SELECT repeat('x', 300000)"))
            client.shutdown(socket.SHUT_WR)
            messages = read_messages(client)
        rows = [body for kind, body in messages if kind == b"D"]
        assert [len(row) for row in rows] == [300_006]
        assert messages[-1] == (b"Z", b"I")


def test_gigabytes_would_pass_with_bounded_memory_and_back_pressure(proxy: Proxy) -> None:
    with psycopg.connect(proxy.conninfo) as connection:
        memory = rss(proxy)
        with connection.cursor().copy(
            "COPY (SELECT repeat('x', 1000000) FROM generate_series(1, 200)) TO STDOUT"
        ) as copy:
            first = next(iter(copy))
            time.sleep(1)
            # The client does not read: what is on its way stays in the sockets.
            assert rss(proxy) - memory < 4_000_000
            assert len(first) + sum(map(len, copy)) == 200 * 1_000_001
        connection.execute("CREATE TEMPORARY TABLE wide (text text)")
        with connection.cursor().copy("COPY wide FROM STDIN") as copy:
            for _ in range(100):
                copy.write("x" * 1_000_000 + "\n")
        row = connection.execute("SELECT sum(length(text)) FROM wide").fetchone()
        assert row == (100_000_000,)
        assert rss(proxy) - memory < 4_000_000


def test_a_long_answer_arrives_completely_though_the_server_pauses(proxy: Proxy) -> None:
    rows = """
        SELECT repeat('x', 1000), CASE WHEN number % 6000 = 0 THEN pg_sleep(0.01) END
        FROM generate_series(1, 30000) AS number
    """
    with psycopg.connect(proxy.conninfo) as connection:
        for _ in range(2):
            with connection.cursor().copy(f"COPY ({rows}) TO STDOUT") as copy:
                assert sum(map(len, copy)) > 30_000_000
            assert who(connection) == ROLE
        with connection.cursor() as cursor:
            lengths = [len(row[0]) for row in cursor.stream(rows)]
        assert lengths == [1000] * 30_000


def rss(proxy: Proxy) -> int:
    lines = Path(f"/proc/{proxy.process.pid}/smaps_rollup").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon"))


def test_large_objects_and_notifications(proxy: Proxy) -> None:
    with psycopg.connect(proxy.conninfo, autocommit=True) as listener, psycopg.connect(proxy.conninfo) as other:
        listener.execute("LISTEN news")
        time.sleep(1)
        other.execute("NOTIFY news, 'it works'")
        other.commit()
        assert [note.payload for note in listener.notifies(timeout=20, stop_after=1)] == ["it works"]
        row = other.execute("SELECT lo_from_bytea(0, decode(repeat('00', 3000000), 'hex'))").fetchone()
        assert row is not None
        assert other.execute("SELECT length(lo_get(%s))", row).fetchone() == (3_000_000,)
        assert len(other.execute("SELECT lo_get(%s)", row, binary=True).fetchall()[0][0]) == 3_000_000


def test_replication(proxy: Proxy, emulator: Emulator) -> None:
    emulator.sql(f'ALTER ROLE "{ROLE}" REPLICATION')
    try:
        with proxy.connect() as client:
            client.sendall(startup(user=ROLE, replication="true") + query("IDENTIFY_SYSTEM") + message(b"X"))
            answers = read_messages(client)
    finally:
        emulator.sql(f'ALTER ROLE "{ROLE}" NOREPLICATION')
    assert [kind for kind, _ in answers].count(b"D") == 1, answers


def test_a_thousand_clients(run_proxy: RunProxy) -> None:
    resource = pytest.importorskip("resource", reason="Windows sets no limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("the operating system allows too few file descriptors")
    proxy = run_proxy("--max-connections", "1100", "--client-timeout", "60", "--http", "0")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    try:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(proxy.connect()) for _ in range(1000)]
            assert eventually(lambda: proxy.figure("connections_open") == 1000)
            # One after the other: the emulator's server takes a hundred at once.
            for client in clients[::20]:
                client.sendall(startup(user=ROLE, database="postgres") + message(b"X"))
                assert read_messages(client)[-1] == (b"Z", b"I")
            with psycopg.connect(proxy.conninfo) as connection:
                assert who(connection) == ROLE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert eventually(lambda: proxy.figure("connections_open") == 0)
