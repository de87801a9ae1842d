"""Check TLS: its version, and the server's certificate; if it is not valid, why, and which roots would validate it."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import tls
from azure_postgresql_auth._core import is_azure_server
from azure_postgresql_auth.cli.doctor import settings, wire
from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, PASSED_OVER, Context, Finding, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_NEEDS_TLS: Final = ("require", "verify-ca", "verify-full")
_OLD: Final = (
    "UNSUPPORTED_PROTOCOL",
    "PROTOCOL_VERSION",
    "WRONG_VERSION_NUMBER",
    "NO_PROTOCOLS_AVAILABLE",
    "INTERNAL_ERROR",
)
# OpenSSL's X509_V_ERR_...
_NOT_YET, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
_DEFAULT_ROOTS: Final = "~/.postgresql/root.crt"
_FEW: Final = 8
"""Files of root certificates that are tried one by one."""


def check(context: Context) -> Iterator[Finding]:
    """Perform a TLS handshake as the drivers do."""
    if context.reached is None:
        yield Finding(PASSED_OVER, "no TLS on a Unix socket")
        return
    mode = effective_mode(context)
    if mode == "disable":
        yield Finding(PASSED_OVER, "sslmode=disable")
        return
    clock = Stopwatch()
    finding = _shake_hands(context, mode)
    yield finding._replace(seconds=clock.seconds)


def effective_mode(context: Context) -> str:
    """Return the effective `sslmode`: with a file of roots, libpq treats `require` as `verify-ca`."""
    mode = settings.sslmode(context)
    return "verify-ca" if mode == "require" and os.path.exists(_roots(context)) else mode  # noqa: PTH110 - may be ""


def _roots(context: Context) -> str:
    return settings.sslrootcert(context) or os.path.expanduser(_DEFAULT_ROOTS)  # noqa: PTH111


def _shake_hands(context: Context, mode: str) -> Finding:
    assert context.reached is not None, "connected"  # noqa: S101 - for the type checker
    endpoint, address = context.reached
    place, roots = (address, endpoint.port), _roots(context)
    verifies = mode.startswith("verify")
    if verifies and roots != "system" and not os.path.exists(roots):  # noqa: PTH110
        return Finding(
            FAILURE,
            f"sslmode={mode}, but {roots} does not exist",
            f"sslmode={mode} needs root certificates, and {roots} does not exist",
            "name a file with sslrootcert; for a server of Azure, omit sslmode and sslrootcert",
        )
    try:
        tls_context = wire.verifying(roots, check_hostname=mode == "verify-full") if verifies else wire.trusting()
    except OSError as error:
        return _no_roots(error, roots)
    try:
        shaken = wire.shake_hands(place, endpoint.host or address, tls_context, context.timeout)
    except (wire.NoTlsError, OSError) as error:
        return _explained(context, error, mode, roots)
    described = _describe(place, endpoint.host, shaken, context.timeout)
    if not verifies:
        return Finding(OK, f"{shaken.version}, not verified (sslmode={mode}); {described}")
    root = _root_of(place, endpoint.host, roots, context.timeout)
    return Finding(OK, f"{shaken.version}, {mode} passes; {described}{f', root {root}' if root else ''}")


def _no_roots(error: OSError, roots: str) -> Finding:
    why = "it has no certificates in PEM format" if isinstance(error, ssl.SSLError) else error.strerror or str(error)
    cause = f"the root certificates in {roots} cannot be used: {why}"
    return Finding(
        FAILURE, cause, cause, "name a file of certificates with sslrootcert; for a server of Azure, omit it"
    )


def _explained(context: Context, error: Exception, mode: str, roots: str) -> Finding:
    assert context.reached is not None, "connected"  # noqa: S101 - for the type checker
    place = str(context.reached[0])
    if isinstance(error, wire.NoTlsError):
        return _no_tls(error.answer, place, mode)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_verified(context, error, roots)
    if isinstance(error, ssl.SSLError):
        return _no_handshake(error, place)
    assert isinstance(error, OSError), "nothing else is caught"  # noqa: S101 - for the type checker
    return _broken(error, place, context.timeout)


def _no_tls(answer: bytes, place: str, mode: str) -> Finding:
    if answer == b"N":
        if mode not in _NEEDS_TLS:
            return Finding(OK, "the server does not support TLS, and sslmode allows that")
        return Finding(
            FAILURE,
            "the server answers that it does not support TLS",
            f"{place} does not support TLS, so no token is sent to it",
            "Azure's servers always support it: check whether host and port are those of a pooler or a proxy, and "
            "enable TLS there",
        )
    if not answer:
        return Finding(
            FAILURE,
            "the server closed the connection at once",
            f"{place} accepts connections and closes them at once",
            "check that the server is running, and that no gateway in between rejects this machine",
        )
    if answer.startswith(b"E\0"):
        # An ErrorResponse, which is not shown: anybody in between could have written it.
        return Finding(
            FAILURE,
            "the server answers with an error, before TLS",
            f"{place} refuses connections with an error, before TLS",
            "check that the server is running and takes connections: its log says more, or that of the pooler or proxy "
            "which answers there",
        )
    return Finding(
        FAILURE,
        f"the answer begins with {answer[:20]!r}",
        f"what listens at {place} does not speak PostgreSQL",
        "check host and port",
    )


def _no_handshake(error: ssl.SSLError, place: str) -> Finding:
    reason = error.reason or str(error)
    if any(word in reason for word in _OLD):
        return Finding(
            FAILURE,
            f"no common version of TLS ({reason})",
            f"{place} does not support TLS 1.2 or later",
            "Azure's servers support 1.2 and 1.3: find out what is in between, and update it",
        )
    return Finding(
        FAILURE,
        f"the TLS handshake failed: {reason}",
        f"the TLS handshake with {place} fails ({reason})",
        "look for a proxy or a firewall in between that intercepts TLS",
    )


def _broken(error: OSError, place: str, timeout: float) -> Finding:
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return Finding(
            FAILURE,
            f"no answer within {timeout:g} s",
            f"{place} accepts connections and then does not answer",
            "check host and port, that the server is not overloaded or stopped, and what is in between",
        )
    return Finding(
        FAILURE,
        f"the connection broke: {error}",
        f"{place} closes the connection during the TLS handshake ({error.strerror or error})",
        "look for a proxy or a firewall in between that intercepts TLS",
    )


def _not_verified(context: Context, error: ssl.SSLCertVerificationError, roots: str) -> Finding:
    assert context.reached is not None, "connected"  # noqa: S101 - for the type checker
    endpoint, address = context.reached
    place, host = (address, endpoint.port), endpoint.host or address
    certificate = _certificate(place, host, context.timeout)
    names = [name for kind, name in certificate.get("subjectAltName", ()) if kind in {"DNS", "IP Address"}]
    passing = [mode for mode in ("verify-ca", "require") if _passes(mode, place, host, roots, context.timeout)]
    would = f"would pass with sslmode={' or '.join(passing)}" if passing else "would pass with no sslmode that verifies"
    saw = f"{error.verify_message}; {_described(certificate)}; {would}"
    if error.verify_code in {_OTHER_NAME, _OTHER_ADDRESS}:
        listed = ", ".join(names[:4]) or "nobody"
        return Finding(
            FAILURE,
            saw,
            f"the server's certificate is for {listed}, not for {host}",
            "connect to the server's own name, with hostaddr if the address matters "
            "(sslmode=verify-ca would pass, but so would any other server with a certificate of the same authorities)",
        )
    if error.verify_code in {_EXPIRED, _NOT_YET}:
        when = f"ended {certificate.get('notAfter')}" if error.verify_code == _EXPIRED else "is not valid yet"
        return Finding(
            FAILURE,
            saw,
            f"the server's certificate {when}",
            "check this machine's clock; if it is correct, the server's certificate has to be renewed",
        )
    issuer = _name_in(certificate.get("issuer", ())) or "an unknown authority"
    if is_azure_server(endpoint.host) and roots != tls.AZURE_ROOTS:
        remedy = f"remove sslrootcert and PGSSLROOTCERT, now {roots}: Azure's own roots are used then"
    elif is_azure_server(endpoint.host):
        remedy = (
            "something between here and Azure intercepts TLS: bypass it, or name its root certificate with sslrootcert"
        )
    else:
        remedy = f"name a file with the root of {issuer} with sslrootcert, now {roots}"
    return Finding(
        FAILURE, saw, f"the server's certificate, issued by {issuer}, does not lead to a trusted root", remedy
    )


def _passes(mode: str, place: tuple[str, int], host: str, roots: str, timeout: float) -> bool:
    tls_context = wire.trusting() if mode == "require" else wire.verifying(roots, check_hostname=False)
    try:
        wire.shake_hands(place, host, tls_context, timeout)
    except OSError:
        return False
    return True


def _certificate(place: tuple[str, int], host: str, timeout: float) -> dict[str, Any]:
    """Return the contents of a certificate that was not verified."""
    try:
        der = wire.shake_hands(place, host, wire.trusting(), timeout).der
        return wire.shake_hands(place, host, wire.reading(der), timeout).certificate
    except OSError:
        return {}


def _describe(place: tuple[str, int], host: str, shaken: wire.Handshake, timeout: float) -> str:
    return _described(shaken.certificate or _certificate(place, host, timeout))


def _described(certificate: dict[str, Any]) -> str:
    if not certificate:
        return "a certificate that cannot be read"
    names = ", ".join(name for _, name in certificate.get("subjectAltName", ())[:2])
    issuer = _name_in(certificate.get("issuer", ()))
    return f"certificate of {names or 'nobody'} until {certificate.get('notAfter')}, issued by {issuer}"


def _name_in(parts: Any) -> str:
    found = {key: value for part in parts for key, value in part}
    return str(found.get("commonName") or found.get("organizationName") or "")


def _root_of(place: tuple[str, int], host: str, roots: str, timeout: float) -> str:
    """Return the trusted root of a certificate. Python before 3.13 does not report it, so each root is tried alone."""
    if roots == "system":
        return ""
    text = Path(roots).read_text("utf-8", "replace")
    found = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    for pem in found if len(found) <= _FEW else ():
        tls_context = wire.trusting()
        tls_context.verify_mode = ssl.CERT_REQUIRED
        tls_context.load_verify_locations(cadata=pem)
        try:
            wire.shake_hands(place, host, tls_context, timeout)
        except OSError:
            continue
        return _name_in(tls_context.get_ca_certs()[0].get("subject", ()))
    return ""
