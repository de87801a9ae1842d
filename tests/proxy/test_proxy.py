"""`proxy`: clients of many kinds, through it to the emulator."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import asyncpg
import psycopg
import psycopg2
import pytest
import trustme
from azure_postgresql_auth.tls import AZURE_ROOTS

from tests.support.cancelling import cancelled_asleep
from tests.support.polling import eventually
from tests.support.proxy import (
    GSSENC_REQUEST,
    PROTOCOL_3_0,
    ROLE,
    SSL_REQUEST,
    Proxy,
    error_of,
    message,
    query,
    read_messages,
    startup,
)
from tests.support.servers import Server, forward

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


RunProxy = Callable[..., Proxy]


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def run(*command: str, timeout: float = 60, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def who(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT session_user").fetchone()
    assert row is not None
    return str(row[0])


# Clients


@needs("psql")
def test_psql(proxy: Proxy) -> None:
    assert run("psql", proxy.conninfo, "-Atc", "SELECT session_user").strip() == ROLE
    assert run("psql", proxy.url, "-Atc", "SELECT session_user").strip() == ROLE


def test_python_drivers_without_any_of_ours(proxy: Proxy) -> None:
    with psycopg.connect(proxy.conninfo) as connection:
        assert who(connection) == ROLE
    second = psycopg2.connect(proxy.url)
    with second.cursor() as cursor:
        cursor.execute("SELECT session_user")
        assert cursor.fetchone() == (ROLE,)
    second.close()

    async def main() -> None:
        third = await asyncpg.connect(proxy.url)
        assert await third.fetchval("SELECT session_user") == ROLE
        await third.close()

    asyncio.run(main())
    assert proxy.figure("logins_total") == 3
    assert eventually(lambda: proxy.figure("connections_open") == 0)


@needs("pgbench")
def test_pgbench_with_many_clients(proxy: Proxy) -> None:
    run("pgbench", "-h", str(proxy.folder), "-U", ROLE, "-i", "-q", "postgres")
    done = run(
        "pgbench", "-h", str(proxy.folder), "-U", ROLE, "-S", "-M", "prepared", "-c", "20", "-t", "50", "postgres"
    )
    assert "number of failed transactions: 0 (0.000%)" in done
    run("pgbench", "-h", str(proxy.folder), "-U", ROLE, "-i", "-I", "d", "postgres")


PERL = """
use DBI;
print DBI->connect("dbi:Pg:host=$ARGV[0];dbname=postgres", $ARGV[1], "")->selectrow_array("SELECT session_user")
"""
RUBY = """
require "pg"
print PG.connect(host: ARGV[0], dbname: "postgres", user: ARGV[1]).exec("SELECT session_user").getvalue(0, 0)
"""
JAVA = """
public class Who {
    public static void main(String[] arguments) throws Exception {
        try (var connection = java.sql.DriverManager.getConnection(arguments[0], arguments[1], "")) {
            var found = connection.createStatement().executeQuery("SELECT session_user");
            found.next();
            System.out.print(found.getString(1));
        }
    }
}
"""
JAR = "/usr/share/java/postgresql.jar"


@pytest.mark.parametrize(("program", "arguments"), [("perl", ["-MDBD::Pg", "-e", PERL]), ("ruby", ["-e", RUBY])])
def test_other_languages_on_libpq(proxy: Proxy, program: str, arguments: list[str]) -> None:
    probe = {"perl": ["-MDBD::Pg", "-e", "1"], "ruby": ["-e", 'require "pg"']}[program]
    if shutil.which(program) is None or subprocess.run([program, *probe], check=False, capture_output=True).returncode:
        pytest.skip(f"{program}'s driver of PostgreSQL is not installed (Debian: libdbd-pg-perl, ruby-pg)")
    assert run(program, *arguments, str(proxy.folder), ROLE) == ROLE


def test_jdbc(proxy: Proxy, tmp_path: Path) -> None:
    if shutil.which("java") is None or not os.path.exists(JAR):  # noqa: PTH110
        pytest.skip("Java or its driver of PostgreSQL is not installed (Debian: libpostgresql-jdbc-java)")
    if shutil.which("javac") is None and "jdk.compiler" not in run("java", "--list-modules"):
        pytest.skip("Java's compiler is not installed (Debian: default-jdk-headless)")
    source = tmp_path / "Who.java"
    source.write_text(JAVA)
    url = f"jdbc:postgresql://127.0.0.1:{proxy.port}/postgres"
    assert run("java", "-cp", JAR, str(source), url, ROLE, timeout=100) == ROLE


GO = """
package main

import (
	"database/sql"
	"fmt"
	"os"

	_ "github.com/lib/pq"
)

func main() {
	db, err := sql.Open("postgres", os.Args[1])
	if err != nil {
		panic(err)
	}
	var who string
	if err := db.QueryRow("SELECT session_user").Scan(&who); err != nil {
		panic(err)
	}
	fmt.Print(who)
}
"""


def test_go(proxy: Proxy, tmp_path: Path) -> None:
    if shutil.which("go") is None or not os.path.isdir("/usr/share/gocode/src/github.com/lib/pq"):  # noqa: PTH112
        pytest.skip("Go or its driver of PostgreSQL is not installed (Debian: golang-go, golang-github-lib-pq-dev)")
    source = tmp_path / "who.go"
    source.write_text(GO)
    environment = {
        **os.environ,
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOCACHE": str(tmp_path / "cache"),
    }
    found = run("go", "run", str(source), f"{proxy.url}?sslmode=disable", env=environment, timeout=100)
    assert found == ROLE


# Logins


def test_one_token_for_any_number_of_clients(proxy: Proxy, emulator: Emulator) -> None:
    def connect(_: int) -> str:
        with psycopg.connect(proxy.conninfo) as connection:
            return who(connection)

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert set(pool.map(connect, range(60))) == {ROLE}
    assert len(emulator.token_requests) == 1
    assert proxy.figure("token_requests_total") == 1
    assert proxy.figure("token_expiry_timestamp_seconds") > time.time()


def test_tokens_of_seconds_are_renewed_ahead(run_proxy: RunProxy, emulator: Emulator) -> None:
    emulator.lifetime = 2.0
    proxy = run_proxy()
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        with psycopg.connect(proxy.conninfo) as connection:
            assert who(connection) == ROLE
    assert all(login.accepted for login in emulator.logins)
    assert 3 <= len(emulator.token_requests) <= 12


def test_a_refused_token_is_replaced_and_the_login_tried_again(proxy: Proxy, emulator: Emulator) -> None:
    with psycopg.connect(proxy.conninfo) as connection:
        assert who(connection) == ROLE
    emulator.revoke(ROLE)
    with psycopg.connect(proxy.conninfo) as connection:
        assert who(connection) == ROLE
    assert [login.accepted for login in emulator.logins] == [True, False, True]
    assert proxy.figure("login_retries_total") == 1


def test_the_servers_refusal_is_passed_on_word_for_word(proxy: Proxy) -> None:
    with proxy.connect() as client:
        client.sendall(startup(user="nobody", database="postgres"))
        error = error_of(read_messages(client))
    assert error["C"] == "28P01"
    assert error["M"] == 'password authentication failed for user "nobody"'
    with proxy.connect() as client:
        client.sendall(startup(user=ROLE, database="missing"))
        error = error_of(read_messages(client))
    assert (error["C"], error["M"]) == ("3D000", 'database "missing" does not exist')
    # The second came after the login itself, and so with the bytes that are handed through.
    assert proxy.figure("login_failures_total", reason="login") == 1


def test_a_client_without_a_user_gets_whom_the_token_names(proxy: Proxy) -> None:
    with proxy.connect() as client:
        client.sendall(startup(database="postgres") + query("SELECT session_user"))
        client.shutdown(socket.SHUT_WR)
        messages = read_messages(client)
    assert (b"D", struct.pack("!hi", 1, len(ROLE)) + ROLE.encode()) in messages


def test_without_a_token_clients_hear_why(run_proxy: RunProxy, emulator: Emulator) -> None:
    emulator.fail(400, body='{"error": "invalid_request"}')
    proxy = run_proxy("--http", "0")
    with pytest.raises(
        psycopg.OperationalError, match="azure-postgresql-auth proxy: could not obtain a token"
    ) as caught:
        psycopg.connect(proxy.conninfo)
    assert emulator.identity.client_id not in str(caught.value)
    assert proxy.get("/readyz")[0] == 503
    assert proxy.get("/livez")[0] == 200
    assert not emulator.logins
    emulator.heal()


def test_a_server_of_another_authority_gets_no_token(run_proxy: RunProxy, emulator: Emulator) -> None:
    proxy = run_proxy("--sslrootcert", AZURE_ROOTS)
    with pytest.raises(psycopg.OperationalError, match="could not connect to localhost:.* TLS failed: .*UnknownIssuer"):
        psycopg.connect(proxy.conninfo)
    assert not emulator.logins


def test_a_server_of_another_name_gets_no_token(run_proxy: RunProxy, emulator: Emulator) -> None:
    with Server(lambda client: forward(client, emulator.port), host="127.0.0.2") as there:
        proxy = run_proxy(server=f"127.0.0.2:{there.port}")
        with pytest.raises(psycopg.OperationalError, match="TLS failed: .*not valid for name"):
            psycopg.connect(proxy.conninfo)
    assert not emulator.logins


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"N", "does not support TLS"),
        (message(b"E", b"SFATAL\0Mpay here: http://evil.example\0\0"), "answered the request for TLS with an error"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there is not PostgreSQL"),
        (b"S" + bytes(100), "TLS failed"),
        (b"", "could not connect"),
    ],
)
def test_a_server_that_is_none_gets_no_token(run_proxy: RunProxy, emulator: Emulator, said: bytes, heard: str) -> None:
    got: list[bytes] = []

    def answer(client: socket.socket) -> None:
        got.append(client.recv(8))
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        while part := client.recv(65536):
            got.append(part)

    with Server(answer) as there:
        proxy = run_proxy(server=f"localhost:{there.port}")
        with pytest.raises(psycopg.OperationalError, match=heard) as caught:
            psycopg.connect(proxy.conninfo)
    assert "evil" not in str(caught.value)
    # At most the beginning of TLS: no user, no token.
    assert all(part == SSL_REQUEST or part[0] in {0x15, 0x16} for part in got if part)
    assert ROLE.encode() not in b"".join(got)
    assert emulator.identity.client_id.encode() not in b"".join(got)


# The protocol


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


DEBIANS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


@pytest.mark.skipif(not DEBIANS, reason="no PostgreSQL is installed (Debian: postgresql)")
def test_dump_restore_and_base_backup_by_the_servers_own_programs(
    run_proxy: RunProxy, emulator: Emulator, tmp_path: Path
) -> None:
    from azure_postgresql_auth.emulator import Emulator

    programs = DEBIANS[-1]
    with Emulator(postgres=programs) as old:
        variables = {name: value for name, value in old.env.items() if not name.startswith("PG")}
        server = f"localhost:{old.port}"
        proxy = run_proxy("--sslrootcert", old.ca_file, server=server, env=variables)
        target = proxy.conninfo
        run("psql", target, "-c", "CREATE TABLE dumped AS SELECT generate_series(1, 1000) AS number")
        run(str(programs / "pg_dump"), "-d", target, "-Fc", "-t", "dumped", "-f", str(tmp_path / "dump"))
        run("psql", target, "-c", "DROP TABLE dumped")
        run(str(programs / "pg_restore"), "-d", target, str(tmp_path / "dump"))
        assert run("psql", target, "-Atc", "SELECT count(*) FROM dumped").strip() == "1000"
        old.sql(f'ALTER ROLE "{ROLE}" REPLICATION')
        run(str(programs / "pg_basebackup"), "-d", target, "-D", str(tmp_path / "base"), "-X", "none", "-c", "fast")
        assert (tmp_path / "base" / "PG_VERSION").exists()


def test_a_token_of_any_length(run_proxy: RunProxy, emulator: Emulator) -> None:
    emulator.add_identity("long", claims={"filler": "x" * 45_000}, default=True)
    proxy = run_proxy()
    with psycopg.connect(proxy.conninfo.replace(ROLE, "long")) as connection:
        assert who(connection) == "long"
