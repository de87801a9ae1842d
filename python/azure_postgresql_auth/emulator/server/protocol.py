"""The PostgreSQL wire protocol, as far as logins need it; later messages are forwarded unread.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyio.streams.buffered import BufferedByteReceiveStream

SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102
PROTOCOL_3_0 = 3 << 16

AUTHENTICATION_CLEARTEXT = b"R" + struct.pack("!ii", 8, 3)

# PostgreSQL's limits for messages of clients that have not logged in.
_LONGEST_STARTUP = 10_000
_LONGEST_PASSWORD = 65_535
_LONGEST_MESSAGE = 1 << 24


class ProtocolError(Exception):
    """The peer violated the protocol."""


@dataclass(frozen=True)
class Startup:
    """The first packet of a connection, or the first one inside TLS."""

    code: int
    raw: bytes

    def parameters(self) -> dict[str, str]:
        """Return the parameters of a StartupMessage."""
        fields = self.raw[8:].split(b"\0")
        return {
            name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
            for name, value in zip(fields[::2], fields[1::2])
            if name
        }


async def read_startup(stream: BufferedByteReceiveStream) -> Startup:
    """Read a packet without a type byte, and not a byte more, because TLS may follow."""
    (length,) = struct.unpack("!i", await stream.receive_exactly(4))
    if not 8 <= length <= _LONGEST_STARTUP:  # noqa: PLR2004
        message = "invalid length of startup packet"
        raise ProtocolError(message)
    rest = await stream.receive_exactly(length - 4)
    (code,) = struct.unpack("!i", rest[:4])
    return Startup(code, struct.pack("!i", length) + rest)


async def read_message(stream: BufferedByteReceiveStream, longest: int = _LONGEST_MESSAGE) -> tuple[bytes, bytes]:
    """Read one message, and return its type and its payload."""
    kind = await stream.receive_exactly(1)
    (length,) = struct.unpack("!i", await stream.receive_exactly(4))
    if not 4 <= length <= longest:  # noqa: PLR2004
        error = f"invalid length of message {kind!r}"
        raise ProtocolError(error)
    return kind, await stream.receive_exactly(length - 4) if length > 4 else b""  # noqa: PLR2004


async def read_password(stream: BufferedByteReceiveStream) -> str:
    """Read the client's response to AuthenticationCleartextPassword."""
    kind, payload = await read_message(stream, _LONGEST_PASSWORD)
    if kind != b"p":
        error = f"expected password response, got message type {kind!r}"
        raise ProtocolError(error)
    return payload.rstrip(b"\0").decode("utf-8", "replace")


def message(kind: bytes, payload: bytes) -> bytes:
    """Return the bytes of a message."""
    return kind + struct.pack("!i", len(payload) + 4) + payload


def startup(parameters: dict[str, str]) -> bytes:
    """Build a StartupMessage of protocol 3.0."""
    pairs = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items())
    body = struct.pack("!i", PROTOCOL_3_0) + pairs + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def fatal(sqlstate: str, text: str) -> bytes:
    """Build the ErrorResponse with which a server ends a connection."""
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": text}
    return message(b"E", b"".join(f"{key}{value}\0".encode() for key, value in fields.items()) + b"\0")


def error_fields(payload: bytes) -> dict[str, str]:
    """Read an ErrorResponse."""
    fields = [field.decode("utf-8", "replace") for field in payload.split(b"\0") if field]
    return {field[0]: field[1:] for field in fields}


def data_row(payload: bytes) -> tuple[str | None, ...]:
    """Read a DataRow in text format."""
    (count,) = struct.unpack_from("!h", payload)
    values: list[str | None] = []
    position = 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", payload, position)
        position += 4
        if length < 0:
            values.append(None)
        else:
            values.append(payload[position : position + length].decode())
            position += length
    return tuple(values)
