"""The front end: accept PostgreSQL clients over TLS, verify tokens, and connect clients to the server behind it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import ssl
from typing import TYPE_CHECKING, Callable

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, IncompleteRead
from anyio.abc import SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSAttribute, TLSStream

from azure_postgresql_auth.emulator.records import Login
from azure_postgresql_auth.emulator.server import protocol
from azure_postgresql_auth.emulator.server.backend import BackendError
from azure_postgresql_auth.emulator.server.faults import TOO_OLD

if TYPE_CHECKING:
    from anyio.abc import ByteStream, SocketStream, TaskStatus
    from anyio.streams.stapled import MultiListener

    from azure_postgresql_auth.emulator.records import Records
    from azure_postgresql_auth.emulator.server.authentication import AuthResult
    from azure_postgresql_auth.emulator.server.backend import Backend
    from azure_postgresql_auth.emulator.server.faults import ServerFaults
    from azure_postgresql_auth.emulator.server.roles import Roles

logger = logging.getLogger("azure_postgresql_auth.emulator")

_AUTHENTICATION_SECONDS = 60  # PostgreSQL's authentication_timeout
_FAREWELL_SECONDS = 0.5

# The exceptions with which a stream reports that the client has disconnected.
GONE = (EndOfStream, IncompleteRead, BrokenResourceError, ClosedResourceError, ssl.SSLError, OSError)


class Frontend:
    """Serves clients until its task is cancelled."""

    def __init__(
        self,
        faults: ServerFaults,
        backend: Backend,
        authenticate: Callable[[str, str], AuthResult],
        roles: Roles,
        logins: Records[Login],
    ) -> None:
        """Take the function that checks a login, and the roles in the backend."""
        self.logins = logins
        self._faults = faults
        self._backend = backend
        self._authenticate = authenticate
        self._roles = roles

    async def _listen(self) -> tuple[list[MultiListener[SocketStream]], int]:
        """Listen on a free port of 127.0.0.1 and, with IPv6, of ::1, because "localhost" may be either."""
        while True:
            first = await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=1024)
            port = first.extra(SocketAttribute.local_port)  # noqa: S610 - not Django
            try:
                second = await anyio.create_tcp_listener(local_host="::1", local_port=port, backlog=1024)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return [first], port
                await first.aclose()
            else:
                return [first, second], port

    async def serve(self, *, task_status: TaskStatus[int]) -> None:
        """Serve until cancelled; started with the port."""
        listeners, port = await self._listen()
        try:
            task_status.started(port)
            async with anyio.create_task_group() as group:
                for listener in listeners:
                    group.start_soon(listener.serve, self._handle)
        finally:
            with anyio.CancelScope(shield=True):
                for listener in listeners:
                    await listener.aclose()

    async def _handle(self, stream: SocketStream) -> None:
        try:
            async with stream:
                await self._serve_one(stream)
        except GONE:
            logger.debug("a client disconnected", exc_info=True)
        except Exception:
            logger.exception("a connection failed")

    async def _serve_one(self, stream: SocketStream) -> None:
        client: TLSStream | None = None
        with anyio.move_on_after(_AUTHENTICATION_SECONDS) as timeout:
            client = await self._negotiate(stream)
            joined = None if client is None else await self._welcome(client)
        if client is None or timeout.cancelled_caught:
            return
        if joined is not None:
            await _relay(client, joined)
        # As PostgreSQL does. Without close_notify, OpenSSL reports an "unexpected eof".
        with anyio.move_on_after(_FAREWELL_SECONDS), contextlib.suppress(*GONE):
            await client.unwrap()

    async def _negotiate(self, stream: SocketStream) -> TLSStream | None:
        """Start TLS; return None if the client requested something else, which was answered."""
        reader = BufferedByteReceiveStream(stream)
        while True:
            try:
                startup = await protocol.read_startup(reader)
            except protocol.ProtocolError as error:
                await stream.send(protocol.fatal("08P01", str(error)))
                return None
            if self._faults.kind == "silence":
                await anyio.sleep_forever()
            if self._faults.kind == "hang-up":
                return None
            if self._faults.kind == "old-tls" and startup.code == protocol.SSL_REQUEST:
                await stream.send(b"S")
                await reader.receive()
                await stream.send(TOO_OLD)
                return None
            tls = self._faults.tls
            if startup.code == protocol.SSL_REQUEST and tls is not None:
                await stream.send(b"S")
                return await TLSStream.wrap(stream, server_side=True, ssl_context=tls, standard_compatible=False)
            if startup.code in {protocol.SSL_REQUEST, protocol.GSSENC_REQUEST}:
                await stream.send(b"N")
            elif startup.code == protocol.CANCEL_REQUEST:
                await self._cancel(startup.raw)
                return None
            else:
                parameters = startup.parameters()
                host = stream.extra(SocketAttribute.remote_address)[0]  # noqa: S610 - not Django
                user = parameters.get("user", "")
                database = parameters.get("database", user)
                text = f'no pg_hba.conf entry for host "{host}", user "{user}", database "{database}", no encryption'
                await stream.send(protocol.fatal("28000", text))
                return None

    async def _welcome(self, client: TLSStream) -> ByteStream | None:
        """Request the token and, if it is valid, log in to the backend; None if the login failed."""
        reader = BufferedByteReceiveStream(client)
        try:
            startup = await protocol.read_startup(reader)
            if startup.code == protocol.CANCEL_REQUEST:
                await self._cancel(startup.raw)
                return None
            role = startup.parameters().get("user", "")
            if startup.code >> 16 != protocol.PROTOCOL_3_0 >> 16:
                await client.send(protocol.fatal("0A000", "unsupported frontend protocol"))
                return None
            if not role:
                await client.send(protocol.fatal("28000", "no PostgreSQL user name specified in startup packet"))
                return None
            await client.send(protocol.AUTHENTICATION_CLEARTEXT)
            password = await protocol.read_password(reader)
        except protocol.ProtocolError as error:
            await client.send(protocol.fatal("08P01", str(error)))
            return None
        result = self._authenticate(password, role)
        if self._faults.refusal is not None:
            sqlstate, message = self._faults.refusal
            result = dataclasses.replace(result, sqlstate=sqlstate, message=message)
        tls_version = client.extra(TLSAttribute.tls_version)  # noqa: S610 - not Django
        self.logins.add(Login(role, result.object_id, result.accepted, result.message, result.token_age, tls_version))
        if not result.accepted:
            await client.send(protocol.fatal(result.sqlstate, result.message))
            return None
        return await self._enter(client, startup.raw, role)

    async def _enter(self, client: TLSStream, startup: bytes, role: str) -> ByteStream | None:
        try:
            backend, heard = await self._log_in(startup, role)
        except BackendError as error:
            await client.send(error.response)
            return None
        except (*GONE, protocol.ProtocolError) as error:
            logger.warning("the server behind the emulator cannot be reached: %s", error)
            await client.send(protocol.fatal("08006", "the emulator's PostgreSQL cannot be reached"))
            return None
        try:
            await client.send(heard)
        except BaseException:
            await anyio.aclose_forcefully(backend)
            raise
        return backend

    async def _log_in(self, startup: bytes, role: str) -> tuple[ByteStream, bytes]:
        try:
            return await self._backend.login(startup, role, self._roles.password(role))
        except BackendError as error:
            if not await anyio.to_thread.run_sync(self._roles.restore, role, error.sqlstate):
                raise
        return await self._backend.login(startup, role, self._roles.password(role))

    async def _cancel(self, packet: bytes) -> None:
        """Forward a CancelRequest; the client's connection is closed after the server has processed it."""
        with contextlib.suppress(*GONE):
            async with await self._backend.connect() as backend:
                await backend.send(packet)
                await backend.receive()


async def _relay(client: ByteStream, backend: ByteStream) -> None:
    """Forward bytes in both directions until the server closes the connection or the client aborts it.

    A client that closes only its sending half still receives the server's data.
    """

    async def forward() -> None:
        try:
            await _pump(client, backend)
            await backend.send_eof()
        except GONE:
            group.cancel_scope.cancel()

    async with backend, anyio.create_task_group() as group:
        group.start_soon(forward)
        with contextlib.suppress(*GONE):
            await _pump(backend, client)
        group.cancel_scope.cancel()


async def _pump(source: ByteStream | TLSStream, sink: ByteStream | TLSStream) -> None:
    with contextlib.suppress(EndOfStream):
        while True:
            await sink.send(await source.receive())
