"""Runs the proxy from its arguments to its end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from azure_postgresql_auth._core import Proxy
from azure_postgresql_auth._engine import registry
from azure_postgresql_auth.cli import child, signals, temporary
from azure_postgresql_auth.cli.failure import USAGE, Failure
from azure_postgresql_auth.cli.proxy import listeners, server_arguments

if TYPE_CHECKING:
    import argparse
    from typing import Callable, Final

    from azure_postgresql_auth.cli.proxy.server_arguments import Server

_STOPPING: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name))
# As PostgreSQL and PgBouncer do. Windows has no such signal.
_RELOADING: Final = (signal.SIGHUP,) if sys.platform != "win32" else ()
_MISLEADING: Final = (
    "PGSERVICE",
    "PGHOSTADDR",
    "PGPASSWORD",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGCHANNELBINDING",
    "PGGSSENCMODE",
    "PGSSLCERTMODE",
    "PGSSLROOTCERT",
    "PGSSLNEGOTIATION",
)
"""Variables that would make libpq connect elsewhere, or require something that only the server can offer."""


def run(options: argparse.Namespace) -> int:
    """Serve until a signal asks to stop, or until the command ends."""
    servers = server_arguments.parse(options.servers, options.scope, options.sslrootcert)
    if (options.tls_cert is None) != (options.tls_key is None):
        raise Failure("proxy: --tls-cert and --tls-key belong together", USAGE)
    _raise_limit()
    with contextlib.ExitStack() as stack:
        sockets = listeners.Sockets()
        stack.callback(sockets.remove_files)
        variables = _listen(sockets, servers, options, stack)
        http = None if options.http is None else _listen_http(options)

        def start() -> Proxy:
            proxy = _start(sockets, servers, http, options)
            stack.callback(proxy.join)
            stack.callback(proxy.stop, 0.0)
            return proxy

        if options.command:
            start()
            return _run_inside(options.command, variables)
        _serve(start, options.stop_timeout, sockets)
    return 0


def _listen(
    sockets: listeners.Sockets, servers: list[Server], options: argparse.Namespace, stack: contextlib.ExitStack
) -> dict[str, str]:
    """Open the listening sockets. Return the variables by which libpq finds the first server."""
    variables: dict[str, str] = {}
    for server, listener in listeners.activated(servers):
        sockets.add(server, listener)
    folder = None if options.socket is None else Path(options.socket)
    if sys.platform == "win32" and (folder is not None or options.listen is None):
        message = "proxy: on Windows clients come in by TCP only; use --listen [HOST:]PORT, without --socket"
        raise Failure(message, USAGE)
    if folder is None and options.listen is None and options.command:
        folder = Path(stack.enter_context(temporary.folder()))
    if options.listen is not None:
        host, port = listeners.parse_address("--listen", options.listen, len(servers))
        for index, server in enumerate(servers):
            sockets.listen_on(host, port + index if port else 0, server)
        address = sockets.of_server[servers[0].name][-1].getsockname()
        variables = {"PGHOST": address[0], "PGPORT": str(address[1])}
    if folder is not None:
        named = len(servers) > 1 or "=" in options.servers[0]
        for server in servers:
            sockets.listen_in(folder / server.name if named else folder, server)
        first = folder / servers[0].name if named else folder
        variables = {"PGHOST": str(first.absolute()), "PGPORT": "5432"}
    if not sockets.of_server:
        message = "proxy: name where clients connect: --socket DIR, --listen [HOST:]PORT, or a command after `--`"
        raise Failure(message, USAGE)
    pinned = {"PGUSER": options.user, "PGDATABASE": options.database}
    return {**variables, **{name: value for name, value in pinned.items() if value is not None}}


def _listen_http(options: argparse.Namespace) -> int:
    host, port = listeners.parse_address("--http", options.http)
    listener, *others = listeners.bind(host, port)
    for other in others:
        other.close()
    if not (options.allow_remote or listeners.is_loopback(listener)):
        message = (
            f"proxy: --http {options.http} can be reached from other machines; use 127.0.0.1, or give --allow-remote"
        )
        raise Failure(message, USAGE)
    return listener.detach()


def _start(sockets: listeners.Sockets, servers: list[Server], http: int | None, options: argparse.Namespace) -> Proxy:
    try:
        return Proxy(
            registry.default().provider,
            [(*server, sockets.detach(server)) for server in servers],
            user=options.user,
            database=options.database,
            password_file=options.password_file,
            certificate=None if options.tls_cert is None else (options.tls_cert, options.tls_key),
            allow_remote=options.allow_remote,
            max_connections=options.max_connections,
            client_timeout=options.client_timeout,
            login_timeout=options.login_timeout,
            http=http,
            health_file=options.health_file,
            debug=options.debug,
        )
    except ValueError as error:
        raise Failure(f"proxy: {error}", USAGE) from error


def _serve(start: Callable[[], Proxy], grace: float, sockets: listeners.Sockets) -> None:
    """Start the proxy, and wait for a signal and then until the connections have ended.

    A second signal ends them; SIGHUP reloads files. Signals that come while the proxy starts take effect once it has.
    """
    proxy: Proxy | None = None
    early: list[Callable[[], None]] = []
    received = 0

    def stop(*_: object) -> None:
        nonlocal received
        if proxy is None:
            early.append(stop)
            return
        received += 1
        if received == 1:
            # Before the proxy stops listening: a client that finds no socket knows at once that it cannot connect.
            sockets.remove_files()
            listeners.notify("STOPPING=1")
        # Another signal may have come in between; then the connections end now.
        proxy.stop(grace if received == 1 else 0.0)

    def reload(*_: object) -> None:
        if proxy is None:
            early.append(reload)
        elif received == 0:
            listeners.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            proxy.reload()
            listeners.notify("READY=1")

    with contextlib.ExitStack() as stack:
        stack.enter_context(signals.handled({**dict.fromkeys(_STOPPING, stop), **dict.fromkeys(_RELOADING, reload)}))
        woken = stack.enter_context(signals.waking())
        proxy = start()
        for act in early:
            act()
        listeners.notify(f"READY=1\nMAINPID={os.getpid()}")
        selector = stack.enter_context(selectors.DefaultSelector())
        for descriptor in (proxy.fileno(), woken.fileno()):
            selector.register(descriptor, selectors.EVENT_READ)
        while proxy.fileno() not in {key.fd for key, _ in selector.select()}:
            woken.recv(64)
    proxy.join()


def _raise_limit() -> None:
    """Allow as many descriptors as the operating system permits; each connection takes two."""
    if sys.platform == "win32":
        return  # it has none
    import resource  # noqa: PLC0415 - not on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _run_inside(command: list[str], variables: dict[str, str]) -> int:
    """Run the command, which connects to the proxy."""
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    # The proxy uses TLS to the server.
    return child.shell_code(child.run(command, {**environment, **variables, "PGSSLMODE": "disable"}, "proxy"))
