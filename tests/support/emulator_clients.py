"""Clients of the emulator: connections, requests to its endpoints, and what they get."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Callable

import jwt
import psycopg
import pytest

from tests.support.platforms import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator, Identity


DATABASE = "https://ossrdbms-aad.database.windows.net"
DATABASE_SCOPE = f"{DATABASE}/.default"
MANAGEMENT_SCOPE = "https://management.azure.com/.default"


def connect(emulator: Emulator, identity: Identity, **options: Any) -> psycopg.Connection[Any]:
    parameters = {"user": identity.role, "password": emulator.token(identity), **options}
    return psycopg.connect(emulator.dsn, **parameters)


def one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def refusal(emulator: Emulator, **options: Any) -> str:
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(emulator.dsn, **options)
    assert not emulator.logins[-1].accepted
    assert emulator.logins[-1].message in str(refused.value)
    return str(refused.value).partition("FATAL:  ")[2].strip()


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def get(url: str, headers: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"{}"), dict(error.headers)


def imds(emulator: Emulator, **query: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    parameters = {"api-version": "2018-02-01", "resource": DATABASE, **query}
    base = emulator.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
    url = f"{base}/metadata/identity/oauth2/token?{urllib.parse.urlencode(parameters)}"
    return get(url, {"Metadata": "true"})


class Wire:
    """A TLS client without a driver; unlike SSLSocket it can close its sending half and read on."""

    def __init__(self, emulator: Emulator, plain: socket.socket) -> None:
        self.plain = plain
        for request, answer in ((80877104, b"N"), (80877103, b"S")):  # GSS encryption, TLS
            plain.sendall(struct.pack("!ii", 8, request))
            assert plain.recv(1) == answer
        context = ssl.create_default_context(cafile=emulator.ca_file)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self._do(self.tls.do_handshake)

    def _do(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.flush()
                self.incoming.write(self.plain.recv(65536))
            else:
                self.flush()
                return result

    def flush(self) -> None:
        self.plain.sendall(self.outgoing.read())

    def sendall(self, data: bytes) -> None:
        self._do(lambda: self.tls.write(data))

    def recv(self, size: int) -> bytes:
        try:
            return bytes(self._do(lambda: self.tls.read(size)))
        except ssl.SSLZeroReturnError:
            return b""

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.recv(size - len(data))
            assert piece, "the server closed the connection"
            data += piece
        return data

    def message(self) -> tuple[bytes, bytes]:
        kind, length = struct.unpack("!ci", self.exactly(5))
        return kind, self.exactly(length - 4)

    def query(self, text: str) -> None:
        payload = text.encode() + b"\0"
        self.sendall(b"Q" + struct.pack("!i", len(payload) + 4) + payload)

    def close_sending(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()

    def authenticate(self, user: str, password: str) -> tuple[bytes, bytes]:
        startup = struct.pack("!i", 3 << 16) + f"user\0{user}\0database\0postgres\0\0".encode()
        self.sendall(struct.pack("!i", len(startup) + 4) + startup)
        assert self.message() == (b"R", struct.pack("!i", 3))
        secret = password.encode() + b"\0"
        self.sendall(b"p" + struct.pack("!i", len(secret) + 4) + secret)
        return self.message()

    def log_in(self, emulator: Emulator) -> dict[bytes, bytes]:
        user, token = str(emulator.identity.role), emulator.token(emulator.identity)
        assert self.authenticate(user, token) == (b"R", struct.pack("!i", 0))
        return dict(iter(self.message, (b"Z", b"I")))


@contextlib.contextmanager
def raw_tls(emulator: Emulator) -> Iterator[Wire]:
    with socket.create_connection((emulator.host, emulator.port), timeout=60) as plain:
        yield Wire(emulator, plain)


def raw_login(emulator: Emulator, user: str, password: str) -> dict[str, str]:
    with raw_tls(emulator) as wire:
        kind, payload = wire.authenticate(user, password)
        assert kind == b"E"
        assert wire.recv(1) == b""  # closed in order, with close_notify
    fields = payload.decode().split("\0")
    return {field[0]: field[1:] for field in fields if field}


def run_script(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, **options)
