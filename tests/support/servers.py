"""Servers on loopback for tests."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from typing_extensions import Self


class Server:
    """Calls `serve` with each client, in a thread per client.

    The port is bound at once, and clients are accepted after `start`; `with` starts and closes the server. A connection
    stays open until `serve` or `close` ends it.
    """

    def __init__(
        self, serve: Callable[[socket.socket], object] = lambda _: None, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.clients: list[socket.socket] = []
        self._serve = serve
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((host, port))
        except OSError:
            self._listener.close()
            raise
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def start(self) -> None:
        self._listener.listen()
        self._accepting.start()

    def finish(self) -> bool:
        """Wait until each client has been served; whether they all have been within some time."""
        for thread in self._threads:
            thread.join(10)
        return not any(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        # Wakes the threads, which would otherwise stay blocked in accept() and recv().
        _shut_down(self._listener)
        if self._accepting.ident is not None:
            self._accepting.join(10)
        for client in self.clients:
            _shut_down(client)
        self.finish()
        for each in (self._listener, *self.clients):
            each.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(client,), daemon=True)
            thread.start()
            self._threads.append(thread)
            self.clients.append(client)

    def _answer(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._serve(client)


class DroppingServer(Server):
    """A server that accepts nothing and whose queue is full, so that the system drops packets, as firewalls do."""

    def __init__(self) -> None:
        super().__init__()
        self._fillers: list[socket.socket] = []

    def start(self) -> None:
        self._listener.listen(0)
        for _ in range(20):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._listener.getsockname())
            self._fillers.append(filler)

    def close(self) -> None:
        super().close()
        for filler in self._fillers:
            filler.close()


def answering(answer: bytes) -> Server:
    """Return a server that answers everything with this response, and closes the connection."""

    def serve(client: socket.socket) -> None:
        with client:
            client.recv(100)
            client.sendall(answer)

    return Server(serve)


def mute_postgresql(client: socket.socket) -> None:
    """Let a client log in without TLS, and answer nothing that it asks after that."""
    request = client.recv(4096)
    while request[4:8] in {struct.pack("!I", 80877103), struct.pack("!I", 80877104)}:  # SSLRequest, GSSENCRequest
        client.sendall(b"N")
        request = client.recv(4096)
    # AuthenticationOk and ReadyForQuery.
    client.sendall(b"R" + struct.pack("!II", 8, 0) + b"Z" + struct.pack("!I", 5) + b"I")
    while client.recv(4096):
        pass


def forward(client: socket.socket, port: int, *, host: str = "127.0.0.1", greeting: bytes = b"") -> None:
    """Forward everything to a server and back until both have closed, after a greeting that shows the connection."""
    with socket.create_connection((host, port)) as server:
        client.sendall(greeting)
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
