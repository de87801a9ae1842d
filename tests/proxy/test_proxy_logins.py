"""`proxy`: whose tokens reach which server, and what clients hear of a refusal."""

from __future__ import annotations

import concurrent.futures
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
import trustme
from azure_postgresql_auth.tls import AZURE_ROOTS

from tests.support.proxy import (
    ROLE,
    SSL_REQUEST,
    Proxy,
    RunProxy,
    error_of,
    message,
    query,
    read_messages,
    startup,
    who,
)
from tests.support.servers import Server, forward

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator


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
    emulator.lifetime = 4.0
    begun = time.monotonic()
    proxy = run_proxy()
    while len(emulator.token_requests) < 4:
        with psycopg.connect(proxy.conninfo) as connection:
            assert who(connection) == ROLE
    assert all(login.accepted for login in emulator.logins)
    # After half of a token's life at the earliest.
    assert time.monotonic() - begun > 3 * 2.0


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
    assert "pin that with --user" in proxy.told("refused")["remedy"]
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


def test_a_server_that_repeats_a_token_shows_it_to_nobody(run_proxy: RunProxy, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    tokens: list[bytes] = []

    def repeat(client: socket.socket) -> None:
        client.recv(8)
        client.sendall(b"S")
        with context.wrap_socket(client, server_side=True) as server:
            server.recv(65536)
            server.sendall(message(b"R", struct.pack("!I", 3)))
            token = server.recv(65536)[5:-1]
            tokens.append(token)
            server.sendall(message(b"N", b"SNOTICE\0M" + token + b"\0\0"))
            server.sendall(message(b"E", b"SFATAL\0C28000\0Mwhat is " + token + b"?\0\0"))

    with Server(repeat) as there:
        proxy = run_proxy("--sslrootcert", str(tmp_path / "ca.pem"), server=f"localhost:{there.port}")
        with proxy.connect() as client:
            client.sendall(startup(user=ROLE, database="postgres"))
            messages = read_messages(client)
    token = tokens[0]
    assert token.startswith(b"eyJ")
    assert error_of(messages)["M"] == f"what is {'*' * len(token)}?"
    assert "28000: what is ***" in proxy.told("refused")["message"]
    assert token not in b"".join(body for _, body in messages) + proxy.log_path.read_bytes()


def test_a_server_that_stops_in_the_middle_of_the_login(run_proxy: RunProxy, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    def stop(client: socket.socket) -> None:
        client.recv(8)
        client.sendall(b"S")
        with context.wrap_socket(client, server_side=True) as server:
            server.recv(65536)
            server.sendall(message(b"R", struct.pack("!I", 0)) + message(b"S", b"a\0b\0"))
            while server.recv(65536):
                pass

    with Server(stop) as there:
        options = ("--sslrootcert", str(tmp_path / "ca.pem"), "--login-timeout", "2", "--http", "0")
        proxy = run_proxy(*options, server=f"localhost:{there.port}")
        with proxy.connect() as client:
            client.sendall(startup(user=ROLE, database="postgres"))
            messages = read_messages(client)
    assert [kind for kind, _ in messages] == [b"R", b"S", b"E"]
    assert error_of(messages)["C"] == "08001"
    assert "it did not complete the login in time" in error_of(messages)["M"]
    assert proxy.told("refused")["level"] == "warning"
    assert proxy.figure("login_failures_total", reason="server") == 1
    assert proxy.figure("logins_total") == 0


def test_a_token_of_any_length(run_proxy: RunProxy, emulator: Emulator) -> None:
    emulator.add_identity("long", claims={"filler": "x" * 45_000}, default=True)
    proxy = run_proxy()
    with psycopg.connect(proxy.conninfo.replace(ROLE, "long")) as connection:
        assert who(connection) == "long"
