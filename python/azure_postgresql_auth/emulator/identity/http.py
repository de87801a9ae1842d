"""A threaded HTTP server on loopback, with parsing and faults of the connection, independent of identities."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import struct
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from azure_postgresql_auth.emulator.identity.faults import Fault

logger = logging.getLogger("azure_postgresql_auth.emulator")

_HANDSHAKE_SECONDS = 10
_IDLE_SECONDS = 120
_LONGEST_BODY = 1 << 20


@dataclass(frozen=True)
class Request:
    """A request; the names of headers are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    form: Mapping[str, str]


@dataclass(frozen=True)
class Response:
    """A response, which a fault of the connection can cut short."""

    status: int
    body: Mapping[str, Any] | str | bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None


class Server(ThreadingHTTPServer):
    """Serves the function `answer`, from `start` to `stop`."""

    daemon_threads = True
    request_queue_size = 512  # the default of 5 drops connections when many clients start at once

    def __init__(
        self, answer: Callable[[Request], Response], clock: Callable[[], float], tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen on a free port of loopback; `clock` returns the time for the header `Date`."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.clock = clock
        self.tls = tls
        self._workers: set[threading.Thread] = set()
        self.sockets: set[socket.socket] = set()
        self._loop = threading.Thread(target=self.serve_forever, args=(0.05,), name="emulator-http", daemon=True)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Accept connections in a thread."""
        self._loop.start()

    def stop(self) -> None:
        """Stop accepting, close every connection and wait for the threads."""
        if self._loop.is_alive():
            self.shutdown()
            self._loop.join()
        self.server_close()
        for connection in list(self.sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for worker in list(self._workers):
            worker.join(timeout=5)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread and keep it for `stop`; the base class does not keep daemon threads."""
        worker = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="emulator-http-client", daemon=True
        )
        self._workers.add(worker)
        worker.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._workers.discard(threading.current_thread())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what the base class would print, except for disconnected clients."""
        del request, client_address
        logger.debug("connection to an identity endpoint broke", exc_info=True)  # noqa: LOG014 - called while handling


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet, because with two the client's delayed acknowledgement takes 40 ms
    server: Server

    def setup(self) -> None:
        if self.server.tls is not None:
            # Not in the accept loop, where one silent client would block all others.
            self.request = self.server.tls.wrap_socket(self.request, server_side=True, do_handshake_on_connect=False)
        self.server.sockets.add(self.request)
        self.request.settimeout(_HANDSHAKE_SECONDS)
        try:
            if self.server.tls is not None:
                self.request.do_handshake()
        except BaseException:
            self._close()
            raise
        self.request.settimeout(_IDLE_SECONDS)
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self._close()

    def _close(self) -> None:
        self.server.sockets.discard(self.request)
        with contextlib.suppress(OSError):
            self.request.close()

    def do_GET(self) -> None:
        self._respond({})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(min(int(length), _LONGEST_BODY) if length.isdecimal() else 0)
        self._respond(_pairs(body.decode("utf-8", "replace")))

    def _respond(self, form: Mapping[str, str]) -> None:
        try:
            response = self.server.answer(self._request(form))
            body = _encode(response.body)
        except Exception:
            logger.exception("could not answer %s %s", self.command, self.path.partition("?")[0])
            response = Response(500, {"error": "server_error", "error_description": "The emulator failed; see its log"})
            body = _encode(response.body)
        fault = response.fault
        if fault is not None and (fault.hang or fault.reset):
            self.close_connection = True
            if fault.hang:
                fault.over.wait()
            else:
                # TCP sends a reset if a connection is closed with unsent data discarded.
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        self.send_response(response.status)
        content_type = "application/json; charset=utf-8" if body[:1] in b"{[" else "text/html"
        for name, value in {"Content-Type": content_type, **response.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if fault is not None and fault.truncate:
            self.close_connection = True
            body = body[: len(body) // 2]
        self.end_headers()
        self.wfile.write(body)

    def _request(self, form: Mapping[str, str]) -> Request:
        url = urllib.parse.urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, url.path, _pairs(url.query), headers, form)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.server.clock() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing, because URLs can contain secrets; `Emulator.token_requests` has the record."""


def _pairs(encoded: str) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(encoded, keep_blank_values=True))


def _encode(body: Mapping[str, Any] | str | bytes) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()
