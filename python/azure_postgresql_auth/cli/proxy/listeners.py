"""The listening sockets, and the protocol of the service manager (systemd)."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import stat
import sys
import time
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.failure import USAGE, Failure
from azure_postgresql_auth.cli.proxy.server_arguments import HIGHEST_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Final

    from azure_postgresql_auth.cli.proxy.server_arguments import Server

SOCKET_NAME: Final = ".s.PGSQL.5432"
"""The name that libpq looks for in the folder that `host` names."""
_BACKLOG: Final = 1024
_EXCLUSIVE: Final = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
"""On Windows the latter would let another program listen on the same port; elsewhere it does not."""
_NOTIFY_TIMEOUT: Final = 1.0
_FIRST_DESCRIPTOR: Final = 3
"""sd_listen_fds(3)."""


class Sockets:
    """The listening sockets and their files."""

    def __init__(self) -> None:
        self.of_server: dict[str, list[socket.socket]] = {}
        self._files: dict[Path, tuple[int, int] | None] = {}

    def add(self, server: Server, listener: socket.socket) -> None:
        """Add a listening socket of a server."""
        self.of_server.setdefault(server.name, []).append(listener)

    def listen_in(self, folder: Path, server: Server) -> None:
        """Listen on a Unix socket that only this user can connect to.

        Raises:
            Failure: Other users could replace the socket, or it is in use.
        """
        _refuse_links_of_others(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid not in {os.geteuid(), 0} or (found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX):
            message = f"proxy: {folder}: other users can put their own socket there; give it mode 0700"
            raise Failure(message)
        path = folder / SOCKET_NAME
        with _locked(folder):
            _remove_stale(path)
            listener = socket.socket(socket.AF_UNIX)
            self._files[path] = None
            try:
                listener.bind(str(path))
            except OSError as error:
                del self._files[path]
                raise Failure(f"proxy: {path}: {error.strerror or error}") from error
            # Nobody can connect before it listens.
            path.chmod(0o600)
            listener.listen(_BACKLOG)
        found = path.stat()
        self._files[path] = (found.st_dev, found.st_ino)
        self.add(server, listener)

    def listen_on(self, host: str, port: int, server: Server) -> None:
        """Listen on all addresses of a host's name."""
        for listener in bind(host, port):
            self.add(server, listener)

    def detach(self, server: Server) -> list[int]:
        """Hand over the descriptors of a server's sockets."""
        return [listener.detach() for listener in self.of_server.pop(server.name, ())]

    def remove_files(self) -> None:
        """Remove the files of the sockets, unless another process has put its own there."""
        for path, known in self._files.items():
            with contextlib.suppress(OSError, Failure):
                if known is None:
                    # A signal came between its creation and what follows that.
                    with _locked(path.parent):
                        _remove_stale(path)
                    continue
                found = path.stat()
                if (found.st_dev, found.st_ino) == known:
                    path.unlink()
        self._files.clear()


def bind(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on all addresses of a host's name.

    Raises:
        Failure: The name has no address, or an address is in use.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, _EXCLUSIVE, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
            yield listener
    except OSError as error:
        raise Failure(f"proxy: cannot listen on {host}:{port}: {error.strerror or error}") from error
    except UnicodeError as error:
        # One of its parts is empty or too long.
        raise Failure(f"proxy: cannot listen on {host}:{port}: that is not a host name", USAGE) from error


def parse_address(option: str, text: str, ports: int = 1) -> tuple[str, int]:
    """Parse `[HOST:]PORT`; the default host is 127.0.0.1.

    Args:
        option: The option that has the text.
        text: The text.
        ports: The number of consecutive ports that begin there, unless the system chooses them.

    Raises:
        Failure: The text is malformed, or there are not as many ports.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    # `int` refuses thousands of digits with an error of its own.
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > HIGHEST_PORT:
        raise Failure(f"proxy: {option} {text}: expected [HOST:]PORT", USAGE)
    if int(port) + ports - 1 > HIGHEST_PORT:
        message = f"proxy: {option} {text}: {ports} servers need as many ports, and the highest one is {HIGHEST_PORT}"
        raise Failure(message, USAGE)
    return host or "127.0.0.1", int(port)


def is_loopback(listener: socket.socket) -> bool:
    """Return whether only this machine can reach the socket."""
    if listener.family not in {socket.AF_INET, socket.AF_INET6}:
        return True
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def activated(servers: Sequence[Server]) -> Iterator[tuple[Server, socket.socket]]:
    """Yield the sockets that the service manager has opened. Their names tell several servers apart.

    Raises:
        Failure: A socket's name is not that of a server, or it is no socket that listens.
    """
    count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if not (count.isascii() and count.isdigit()) or pid != str(os.getpid()):
        return
    by_name = {server.name: server for server in servers}
    for index in range(int(count)):
        name = names[index] if index < len(names) else ""
        server = servers[0] if len(servers) == 1 else by_name.get(name)
        if server is None:
            message = f"proxy: a socket of the service manager is named {name!r}; expected one of: {', '.join(by_name)}"
            raise Failure(message, USAGE)
        yield server, _received(_FIRST_DESCRIPTOR + index)


def _received(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no keywords
        listener = socket.socket(fileno=descriptor)
        is_listening = sys.platform != "linux" or listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        message = f"proxy: descriptor {descriptor} of LISTEN_FDS: {error.strerror or error}"
        raise Failure(message) from error
    if not is_listening:
        message = f"proxy: descriptor {descriptor} of LISTEN_FDS is not a socket that listens; use ListenStream="
        raise Failure(message)
    return listener


def notify(state: str) -> None:
    """Notify the service manager, if there is one (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    # Windows has no service manager that sets the variable; a shell's environment can still have it.
    if sys.platform == "win32" or not address.startswith(("/", "@")):
        return
    # Without a manager, or with one that has stopped reading, the proxy continues to serve.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(_NOTIFY_TIMEOUT)
        manager.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        manager.send(state.encode())


def _refuse_links_of_others(folder: Path) -> None:
    """Check that no symbolic link in the path belongs to another user, who could make it point elsewhere.

    Raises:
        Failure: One does.
    """
    for path in reversed((folder.absolute(), *folder.absolute().parents)):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISLNK(found.st_mode):
            continue
        if found.st_uid not in {os.geteuid(), 0}:
            message = f"proxy: {path}: this symbolic link belongs to another user; name the folder that it leads to"
            raise Failure(message)
        with contextlib.suppress(FileNotFoundError):
            path.stat()  # Fails where links form a loop.
        _refuse_links_of_others(path.parent / path.readlink())


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let only one process at a time put a socket into a folder: one that does not listen yet looks stale to others.

    Raises:
        Failure: Another process keeps the lock.
    """
    from azure_postgresql_auth.cli.secret_file import files, locking  # noqa: PLC0415 - not on Windows

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + locking.TIMEOUT
        while not files.flock(descriptor):
            if time.monotonic() >= deadline:
                raise Failure(f"proxy: {folder}: another process keeps this folder locked")
            time.sleep(locking.POLL_INTERVAL)
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    """Remove the socket that a killed process has left behind.

    Raises:
        Failure: Another process serves it, or it is not a socket.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Failure(f"proxy: {path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise Failure(f"proxy: {path}: {error.strerror or error}") from error
    raise Failure(f"proxy: {path} is in use by another process")
