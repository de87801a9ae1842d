"""Run the emulator in its own process, so that its work does not count as a candidate's."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import statistics
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure_postgresql_auth.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from types import TracebackType

LIFETIME = 86_400.0


class Service:
    """Proxies the attributes and methods of an emulator in another process."""

    def __init__(self) -> None:
        """Start the emulator; on return all services are ready."""
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=False)
        self._process.start()
        theirs.close()
        self.env: dict[str, str] = self.get("env")
        self.identity: Any = self.get("identity")

    def __enter__(self) -> Service:  # noqa: PYI034 - Self is newer than Python 3.9
        """Do nothing: it is already running."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the emulator."""
        self._line.close()
        self._process.join()

    def get(self, name: str) -> Any:
        """Return an attribute's value."""
        return self._ask("get", name)

    def set(self, name: str, value: float) -> None:
        """Set an attribute."""
        self._ask("set", name, value)

    def call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method."""
        return self._ask("call", name, arguments, keywords)

    @contextlib.contextmanager
    def taking(self, seconds: float) -> Iterator[None]:
        """Set the time that the identity endpoints take to answer, for the duration of a block."""
        self._ask("set", "latency", seconds)
        try:
            yield
        finally:
            self._ask("set", "latency", 0.0)

    def counted(self) -> tuple[int, int, int]:
        """Return the number of token requests, logins and refused logins since the last call."""
        requests, logins = self.get("token_requests"), self.get("logins")
        self.call("reset_counters")
        return len(requests), len(logins), sum(not login.accepted for login in logins)

    def delays(self, times: int = 25) -> dict[str, float]:
        """Return the milliseconds of a token request over a plain socket, which is the endpoint's own part."""
        place = urlsplit(self.env["IDENTITY_ENDPOINT"])
        imds = urlsplit(self.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"])
        resource = "resource=https%3A%2F%2Fossrdbms-aad.database.windows.net"
        app_service = f"{place.path}?api-version=2019-08-01&{resource}"
        of_imds = f"/metadata/identity/oauth2/token?api-version=2018-02-01&{resource}"
        asked = {
            "App Service": (place.netloc, app_service, f"X-IDENTITY-HEADER: {self.env['IDENTITY_HEADER']}"),
            "IMDS": (imds.netloc, of_imds, "Metadata: true"),
        }
        return {
            name: round(statistics.median(_seconds(*how) for _ in range(times)) * 1e3, 3) for name, how in asked.items()
        }

    def _ask(self, *question: Any) -> Any:
        self._line.send(question)
        answer, error = self._line.recv()
        if error is not None:
            raise RuntimeError(error)
        return answer


def _seconds(netloc: str, path: str, header: str) -> float:
    """Request a token, from opening the connection to closing it."""
    host, _, port = netloc.partition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {netloc}\r\n{header}\r\nConnection: close\r\n\r\n".encode()
    begun, answer = time.perf_counter(), b""
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request)
        while part := connection.recv(65536):
            answer += part
    if b" 200 " not in answer.partition(b"\r\n")[0]:
        message = f"the emulator answers {answer[:100]!r}"
        raise RuntimeError(message)
    return time.perf_counter() - begun


def _serve(line: Connection) -> None:
    with Emulator(lifetime=LIFETIME) as emulator:
        while True:
            try:
                kind, name, *rest = line.recv()
            except EOFError:
                return
            try:
                if kind == "set":
                    setattr(emulator, name, *rest)
                    line.send((None, None))
                elif kind == "get":
                    line.send((getattr(emulator, name), None))
                else:
                    line.send((getattr(emulator, name)(*rest[0], **rest[1]), None))
            except Exception as error:  # noqa: BLE001 - sent to the calling process
                line.send((None, repr(error)))
