"""What `doctor` printed, and servers and distributions for it to find."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


AZURE = "srv.postgres.database.azure.com"
SQL = "-- as an Entra administrator"


class Report(NamedTuple):
    """What doctor printed, and how it ended."""

    code: int
    text: str

    @property
    def verdict(self) -> str:
        """The last line before the SQL."""
        return self.text.partition(SQL)[0].splitlines()[-1]

    @property
    def sql(self) -> str:
        """What follows the verdict."""
        return "".join(self.text.partition(SQL)[1:])

    @property
    def cause(self) -> str:
        return self.verdict.partition(". Remedy: ")[0]

    @property
    def remedy(self) -> str:
        return self.verdict.partition(". Remedy: ")[2]


Doctor = Callable[..., Report]


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that answers to anything with this."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(100)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def install(site: Path, name: str, version: str) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def unresolved(number: int, text: str) -> Callable[..., Any]:
    def fail(host: Any, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(number, text)

    return fail


def relay(server: socket.socket, port: int) -> None:
    """Passes each connection on to a port of this machine."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        while True:
            client = stack.enter_context(server.accept()[0])
            behind = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for pair in ((client, behind), (behind, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()
