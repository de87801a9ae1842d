"""A server that tries to get a token."""

from __future__ import annotations

import ssl
import struct
from typing import TYPE_CHECKING

import trustme

from tests.support.servers import Server

if TYPE_CHECKING:
    import socket


class Rogue(Server):
    """A server that requests the password in clear text, with or without TLS, and keeps all data that it receives."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(self._ask)
        self.heard = b""
        self.speaks_tls = context is not None
        self._context = context

    @classmethod
    def under(cls, name: str | None) -> Rogue:
        """Return a server with a certificate for this name from another CA; without TLS for None."""
        if name is None:
            return cls(None)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert(name).configure_cert(context)
        return cls(context)

    def close(self) -> None:
        # All data that was sent has been received.
        self.finish()
        super().close()

    def _ask(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            request = connection.recv(4096)
            if request[4:8] == struct.pack("!I", 80877104):  # GSSENCRequest
                connection.sendall(b"N")
                request = connection.recv(4096)
            if request[4:8] != struct.pack("!I", 80877103):  # no SSLRequest
                self._listen(connection, request)
            elif self._context is None:
                connection.sendall(b"N")
                self._listen(connection, connection.recv(4096))
            else:
                connection.sendall(b"S")
                with self._context.wrap_socket(connection, server_side=True) as encrypted:
                    self._listen(encrypted, encrypted.recv(4096))

    def _listen(self, connection: socket.socket, startup: bytes) -> None:
        self.heard += startup
        connection.sendall(b"R" + struct.pack("!II", 8, 3))  # AuthenticationCleartextPassword
        self.heard += connection.recv(65536)
