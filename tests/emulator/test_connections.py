"""Connections through the emulator's front door: cancelled, broken, many at once, and clients that send anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.support.cancelling import cancelled_asleep, needs_cancel_safe
from tests.support.drivers import run_on_selector_loop
from tests.support.emulator_clients import Wire, connect, one, raw_tls
from tests.support.polling import eventually

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


def test_errors_of_the_server_behind_arrive(emulator: Emulator) -> None:
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        connect(emulator, emulator.identity, dbname="nowhere")
    with connect(emulator, emulator.identity) as connection, pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1/0")


@needs_cancel_safe
def test_cancel(emulator: Emulator) -> None:
    with (
        connect(emulator, emulator.identity) as connection,
        cancelled_asleep(emulator, connection.cancel_safe),
        pytest.raises(psycopg.errors.QueryCanceled),
    ):
        connection.execute("SELECT pg_sleep(60)")


@pytest.mark.parametrize("encrypted", [True, False])
def test_cancel_on_the_wire(emulator: Emulator, encrypted: bool) -> None:  # noqa: FBT001
    """Old clients cancel in the clear, new ones over TLS; either is answered by the end of the connection."""
    with raw_tls(emulator) as wire:
        key = wire.log_in(emulator)[b"K"]
        wire.query("SELECT pg_sleep(20)")
        eventually(lambda: emulator.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") != [])
        with socket.create_connection((emulator.host, emulator.port), timeout=60) as plain:
            other = Wire(emulator, plain) if encrypted else plain
            other.sendall(struct.pack("!ii", 16, 80877102) + key)
            assert other.recv(1) == b""
        answers = dict(iter(wire.message, (b"Z", b"I")))
    assert b"C57014" in answers[b"E"]


def test_large_copy_both_ways(emulator: Emulator) -> None:
    rows, line = 200_000, b"x" * 100 + b"\n"
    with connect(emulator, emulator.identity) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE big (line text)")
        with cursor.copy("COPY big FROM STDIN") as copy:
            for _ in range(rows // 1000):
                copy.write(line * 1000)
        assert one(connection, "SELECT count(*) FROM big") == rows
        with cursor.copy("COPY big TO STDOUT") as copy:
            assert sum(len(block) for block in copy) == rows * len(line)


def test_three_hundred_at_once(emulator: Emulator) -> None:
    token = emulator.token(emulator.identity)

    async def all_of_them() -> list[Any]:
        async with contextlib.AsyncExitStack() as stack:

            async def opened() -> Any:
                connection = await psycopg.AsyncConnection.connect(
                    emulator.dsn, user=emulator.identity.role, password=token
                )
                return await stack.enter_async_context(connection)

            connections = await asyncio.gather(*(opened() for _ in range(300)))
            cursors = await asyncio.gather(*(c.execute("SELECT pg_backend_pid()") for c in connections))
            assert sessions(emulator) == 300
            return [await cursor.fetchone() for cursor in cursors]

    assert len(set(run_on_selector_loop(all_of_them()))) == 300
    eventually(lambda: sessions(emulator) == 0)


def sessions(emulator: Emulator) -> int:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{emulator.identity.role}'"  # noqa: S608
    return int(emulator.sql(query)[0][0] or 0)


def test_a_client_that_vanishes_leaves_no_session(emulator: Emulator) -> None:
    connection = connect(emulator, emulator.identity)
    assert sessions(emulator) == 1
    wire = socket.socket(fileno=connection.fileno())
    wire.shutdown(socket.SHUT_RDWR)
    wire.detach()  # libpq closes it
    eventually(lambda: sessions(emulator) == 0)
    connection.close()


def test_a_killed_session_ends_the_client(emulator: Emulator) -> None:
    with connect(emulator, emulator.identity, autocommit=True) as connection:
        emulator.sql(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("SELECT 1")


def test_half_close_still_gets_the_answer(emulator: Emulator) -> None:
    with raw_tls(emulator) as wire:
        wire.log_in(emulator)
        wire.query("SELECT repeat('x', 1000000)")
        wire.close_sending()
        received = b"".join(iter(lambda: wire.recv(65536), b""))
    assert b"x" * 1_000_000 in received


@pytest.mark.parametrize(
    "garbage", [b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", struct.pack("!ii", 8, 80877103) + b"no TLS"]
)
def test_garbage_does_no_harm(emulator: Emulator, garbage: bytes) -> None:
    with socket.create_connection((emulator.host, emulator.port), timeout=60) as wire:
        wire.sendall(garbage)
        wire.shutdown(socket.SHUT_WR)
        while wire.recv(1000):
            pass
    connect(emulator, emulator.identity).close()


def test_silent_client_delays_no_other(emulator: Emulator) -> None:
    authority = urllib.parse.urlsplit(emulator.env["AZURE_AUTHORITY_HOST"])
    with (
        socket.create_connection((emulator.host, emulator.port)),
        socket.create_connection((str(authority.hostname), authority.port or 0)),
    ):
        connect(emulator, emulator.identity, connect_timeout=60).close()
        context = ssl.create_default_context(cafile=emulator.ca_file)
        url = f"{authority.geturl()}/{emulator.tenant_id}/discovery/v2.0/keys"
        with urllib.request.urlopen(url, timeout=60, context=context) as response:  # noqa: S310
            assert json.load(response)["keys"][0]["kty"] == "RSA"
