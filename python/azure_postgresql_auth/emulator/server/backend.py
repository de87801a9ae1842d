"""A client of the PostgreSQL behind the front end, which can log in and run the administrator's SQL.

It does not use a driver, because the emulator must work with any driver and version that a program has installed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream
from scramp import ScramClient, ScramException  # type: ignore[import-untyped]

from azure_postgresql_auth.emulator.server import protocol

if TYPE_CHECKING:
    from anyio.abc import ByteStream

_SCRAM = "SCRAM-SHA-256"


class BackendError(Exception):
    """PostgreSQL returned an error; `response` is its ErrorResponse, after the messages before it for the client."""

    def __init__(self, payload: bytes, before: bytes = b"") -> None:
        """Keep the response."""
        fields = protocol.error_fields(payload)
        self.sqlstate = fields.get("C", "")
        self.response = before + protocol.message(b"E", payload)
        super().__init__(f"{fields.get('M', 'unknown error')} (SQLSTATE {self.sqlstate})")


@dataclass(frozen=True)
class Backend:
    """The address and the administrator of the PostgreSQL behind the front end."""

    database: str
    user: str
    password: str = ""
    socket: str | None = None
    host: str = "127.0.0.1"
    port: int = 5432

    @classmethod
    def from_dsn(cls, dsn: str) -> Backend:
        """Read a URL such as postgresql://admin:secret@127.0.0.1:5432/app.

        Raises:
            ValueError: it is not such a URL, or has no user.
        """
        url = urlsplit(dsn)
        if url.scheme not in {"postgresql", "postgres"} or not url.username:
            message = "dsn: expected postgresql://ADMIN[:PASSWORD]@HOST[:PORT]/DATABASE"
            raise ValueError(message)
        host = parse_qs(url.query).get("host", [unquote(url.hostname or "127.0.0.1")])[0]
        port = url.port or 5432
        user = unquote(url.username)
        return cls(
            database=unquote(url.path.lstrip("/")) or user,
            user=user,
            password=unquote(url.password or ""),
            socket=f"{host}/.s.PGSQL.{port}" if host.startswith("/") else None,
            host=host,
            port=port,
        )

    async def connect(self) -> ByteStream:
        """Open a connection, without logging in."""
        if self.socket is not None:
            return await anyio.connect_unix(self.socket)
        return await anyio.connect_tcp(self.host, self.port)

    async def login(self, startup: bytes, user: str, password: str) -> tuple[ByteStream, bytes]:
        """Log in, and stop as soon as the server has let the role in, so that the rest can be relayed.

        It looks for the role after AuthenticationOk only, and the message after that says what it found.

        Returns:
            The stream, and the server's messages up to then that are meant for the client, too.

        Raises:
            BackendError: the server refused.
        """
        stream = await self.connect()
        try:
            await stream.send(startup)
            reader = BufferedByteReceiveStream(stream)
            heard = await _authenticate(stream, reader, user, password)
            kind, payload = await _next(reader, heard)
            return stream, heard + protocol.message(kind, payload)
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise

    async def query(self, sql: str, database: str | None = None) -> list[tuple[str | None, ...]]:
        """Run SQL as the administrator, in `database` or the default one, and return the rows as text.

        Raises:
            BackendError: the server refused.
        """
        startup = protocol.startup(
            {
                "user": self.user,
                "database": database or self.database,
                "application_name": "azure_postgresql_auth.emulator",
            }
        )
        stream, _ = await self.login(startup, self.user, self.password)
        async with stream:
            reader = BufferedByteReceiveStream(stream)
            await _until_ready(stream, reader)
            await stream.send(protocol.message(b"Q", sql.encode() + b"\0"))
            rows = await _until_ready(stream, reader)
            await stream.send(protocol.message(b"X", b""))
        return rows


async def _until_ready(stream: ByteStream, reader: BufferedByteReceiveStream) -> list[tuple[str | None, ...]]:
    rows = []
    error: BackendError | None = None
    while True:
        kind, payload = await protocol.read_message(reader)
        if kind == b"D":
            rows.append(protocol.data_row(payload))
        elif kind == b"G":  # COPY FROM STDIN: the server waits for data
            await stream.send(protocol.message(b"f", b"there is no data to copy: use INSERT\0"))
        elif kind == b"E":
            error = BackendError(payload)
            if protocol.error_fields(payload).get("V") in {"FATAL", "PANIC"}:
                raise error
        elif kind == b"Z":
            if error is not None:
                raise error
            return rows


async def _authenticate(stream: ByteStream, reader: BufferedByteReceiveStream, user: str, password: str) -> bytes:
    heard = b""
    scram: ScramClient | None = None
    while True:
        kind, payload = await _next(reader, heard)
        if kind != b"R":  # NegotiateProtocolVersion, notices
            heard += protocol.message(kind, payload)
            continue
        (step,) = struct.unpack("!i", payload[:4])
        if step == 0:
            return heard + protocol.message(kind, payload)
        answer, scram = _answer(step, payload[4:], user, password, scram)
        if answer is not None:
            await stream.send(protocol.message(b"p", answer))


async def _next(reader: BufferedByteReceiveStream, heard: bytes) -> tuple[bytes, bytes]:
    kind, payload = await protocol.read_message(reader)
    if kind == b"E":
        raise BackendError(payload, heard)
    return kind, payload


def _answer(
    step: int, data: bytes, user: str, password: str, scram: ScramClient | None
) -> tuple[bytes | None, ScramClient | None]:
    """Respond to an authentication request: cleartext (3) or one of SCRAM's (10, 11, 12)."""
    try:
        if step == 3:  # noqa: PLR2004
            return password.encode() + b"\0", None
        if step == 10:  # noqa: PLR2004
            scram = ScramClient([_SCRAM], user, password)
            first = scram.get_client_first().encode()
            return _SCRAM.encode() + b"\0" + struct.pack("!i", len(first)) + first, scram
        if step == 11 and scram is not None:  # noqa: PLR2004
            scram.set_server_first(data.decode())
            return scram.get_client_final().encode(), scram
        if step == 12 and scram is not None:  # noqa: PLR2004
            scram.set_server_final(data.decode())
            return None, scram
    except ScramException as error:
        message = f"SCRAM with the server behind the emulator failed: {error}"
        raise protocol.ProtocolError(message) from error
    message = (
        f"the server behind the emulator requires the authentication method {step}: use trust, password or "
        "scram-sha-256"
    )
    raise protocol.ProtocolError(message)


def identifier(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Quote an SQL string, for any value of standard_conforming_strings."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"
