"""Perform a TLS handshake in PostgreSQL's protocol, to inspect it without a login."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import Final

_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
# OpenSSL's names: X509_V_FLAG_PARTIAL_CHAIN and X509_V_FLAG_NO_CHECK_TIME, which Python 3.9 has no names for.
_LET_ANY_CERTIFICATE_PASS: Final = 0x80000 | 0x200000


class NoTlsError(Exception):
    """The server did not start TLS; `answer` is what it sent instead, b"" if it closed the connection."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


class Handshake(NamedTuple):
    """The result of a handshake."""

    version: str
    certificate: dict[str, Any]
    """The certificate as decoded by `ssl`; empty if it was not verified."""
    der: bytes


def shake_hands(place: tuple[str, int], host: str, context: ssl.SSLContext, timeout: float) -> Handshake:
    """Connect as libpq does, up to the TLS handshake.

    Raises:
        NoTlsError: the server does not support TLS.
        ssl.SSLError: the handshake failed; `ssl.SSLCertVerificationError` has the reason.
        OSError: the connection broke.
    """
    with socket.create_connection(place, timeout) as plain:
        plain.sendall(_SSL_REQUEST)
        answer = plain.recv(1)
        if answer != b"S":
            with contextlib.suppress(OSError):
                answer += plain.recv(100) if answer not in {b"", b"N"} else b""
            raise NoTlsError(answer)
        with context.wrap_socket(plain, server_hostname=host or None) as secure:
            der = secure.getpeercert(binary_form=True) or b""
            return Handshake(secure.version() or "", dict(secure.getpeercert() or {}), der)


def verifying(roots: str, *, check_hostname: bool) -> ssl.SSLContext:
    """Return a context that verifies against a file of roots, or against the operating system's for "system".

    Raises:
        OSError: the file cannot be read, or has no certificates (`ssl.SSLError`).
    """
    # OpenSSL, and libpq with it, would wait for somebody to write to a named pipe.
    if roots != "system" and not Path(roots).is_file():
        message = "it is not a regular file"
        raise OSError(message)
    context = ssl.create_default_context(cafile=None if roots == "system" else roots)
    context.check_hostname = check_hostname
    return _as_libpq(context)


def trusting() -> ssl.SSLContext:
    """Return a context that verifies nothing, to inspect a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _as_libpq(context)


def reading(der: bytes) -> ssl.SSLContext:
    """Return a context that trusts this certificate, so that `ssl` decodes its contents."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=der)
    context = _as_libpq(context)
    context.verify_flags |= _LET_ANY_CERTIFICATE_PASS
    return context


def _as_libpq(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 is stricter about certificates than libpq.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context
