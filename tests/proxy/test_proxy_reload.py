"""`proxy`: what SIGHUP changes, and servers that come back."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest
import trustme

from tests.support.polling import eventually
from tests.support.proxy import ROLE, Proxy, RunProxy
from tests.support.servers import Server, forward

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")


class Files(NamedTuple):
    """The files that a proxy with TLS and passwords reads."""

    folder: Path

    @property
    def arguments(self) -> list[str]:
        names = {"--tls-cert": "cert.pem", "--tls-key": "key.pem", "--password-file": "passwords"}
        return [part for option, name in names.items() for part in (option, str(self.folder / name))]

    def write(self, password: str) -> str:
        """Write a new certificate and a password, and return the path of the certificate's authority."""
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        (self.folder / "cert.pem").write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
        (self.folder / "key.pem").write_bytes(certificate.private_key_pem.bytes())
        (self.folder / "passwords").write_text(f"{ROLE}:{password}\n")
        for secret in ("key.pem", "passwords"):
            (self.folder / secret).chmod(0o600)
        path = self.folder / f"authority-{password}.pem"
        authority.cert_pem.write_to_path(str(path))
        return str(path)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def connect(proxy: Proxy, authority: str, password: str) -> psycopg.Connection[Any]:
    where = f"host=127.0.0.1 port={proxy.port} user={ROLE} dbname=postgres connect_timeout=20"
    return psycopg.connect(where, password=password, sslmode="verify-full", sslrootcert=authority)


def reload(proxy: Proxy, event: str) -> dict[str, Any]:
    """Send SIGHUP, and return the event that it leads to."""
    before = len(proxy.events(event))
    proxy.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(proxy.events(event)) > before)
    return proxy.events(event)[-1]


def test_new_connections_get_the_new_password_and_certificate(run_proxy: RunProxy, files: Files) -> None:
    old = files.write("old")
    proxy = run_proxy("--listen", "127.0.0.1:0", *files.arguments, socket_folder=False)
    with connect(proxy, old, "old") as session:
        new = files.write("new")
        with connect(proxy, old, "old"):
            pass  # nothing is read before the signal
        reload(proxy, "reloaded")
        with connect(proxy, new, "new") as connection:
            connection.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            connect(proxy, old, "new")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(proxy, new, "old")
        session.execute("SELECT 1")
    assert proxy.stop() == 0


def test_files_that_cannot_be_used_change_nothing(run_proxy: RunProxy, files: Files) -> None:
    authority = files.write("old")
    proxy = run_proxy("--listen", "127.0.0.1:0", *files.arguments, socket_folder=False)
    files.write("secret-one")
    passwords = files.folder / "passwords"
    for spoil, reason in (
        (lambda: passwords.write_text("nonsense\n"), "line 1: expected USER:PASSWORD"),
        (lambda: passwords.chmod(0o644), "passwords"),
        (passwords.unlink, "No such file"),
        # Nobody writes to it.
        (lambda: os.mkfifo(passwords, 0o600), "the file names no user"),
    ):
        spoil()
        told = reload(proxy, "reload")
        assert told["level"] == "warning"
        assert reason in told["message"]
        assert "secret-one" not in proxy.log_path.read_text()
        # The certificate, which is good, is not in use either.
        with connect(proxy, authority, "old") as connection:
            connection.execute("SELECT 1")


def test_passwords_from_a_pipe_of_the_shell(run_proxy: RunProxy) -> None:
    pipe, writer = os.pipe()
    with os.fdopen(pipe), os.fdopen(writer, "w") as passwords:
        options = ("--listen", "0", "--password-file", f"/dev/fd/{pipe}")
        proxy = run_proxy(*options, socket_folder=False, ready=False, pass_fds=[pipe])
        time.sleep(1)
        passwords.write(f"{ROLE}:sesame\n")
    eventually(lambda: proxy.events("listening"))
    assert "the file names no user" in reload(proxy, "reload")["message"]
    with psycopg.connect(proxy.url, password="sesame") as connection:
        connection.execute("SELECT 1")
    assert proxy.stop() == 0


def test_the_servers_roots_are_read_again(run_proxy: RunProxy, files: Files, emulator: Emulator) -> None:
    roots = files.write("of-another-authority")
    proxy = run_proxy("--sslrootcert", roots)
    with pytest.raises(psycopg.OperationalError, match="TLS failed"):
        psycopg.connect(proxy.conninfo)
    shutil.copy(emulator.ca_file, roots)
    reload(proxy, "reloaded")
    with psycopg.connect(proxy.conninfo) as connection:
        connection.execute("SELECT 1")


def test_a_server_that_comes_back_on_its_port_is_used_again(run_proxy: RunProxy, emulator: Emulator) -> None:
    def serve(client: socket.socket) -> None:
        forward(client, emulator.port)

    with Server(serve) as server:
        port = server.port
        proxy = run_proxy(server=f"localhost:{port}")
        session = psycopg.connect(proxy.conninfo)
        session.execute("SELECT 1")
    with session, pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="azure-postgresql-auth proxy: could not connect to localhost"):
        psycopg.connect(proxy.conninfo)
    with Server(serve, port=port), psycopg.connect(proxy.conninfo) as connection:
        connection.execute("SELECT 1")
    assert proxy.stop() == 0
