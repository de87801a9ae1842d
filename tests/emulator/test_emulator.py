"""The emulator, seen by the programs that it serves: psycopg, azure-identity, plain sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import jwt
import psycopg
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    ClientSecretCredential,
    CredentialUnavailableError,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure_postgresql_auth.emulator import Emulator, Identity
from azure_postgresql_auth.emulator.server import binaries
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE = "https://ossrdbms-aad.database.windows.net"
DATABASE_SCOPE = f"{DATABASE}/.default"
MANAGEMENT_SCOPE = "https://management.azure.com/.default"


def connect(emulator: Emulator, identity: Identity, **options: Any) -> psycopg.Connection[Any]:
    parameters = {"user": identity.role, "password": emulator.token(identity), **options}
    return psycopg.connect(emulator.dsn, **parameters)


def one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def refusal(emulator: Emulator, **options: Any) -> str:
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(emulator.dsn, **options)
    assert not emulator.logins[-1].accepted
    assert emulator.logins[-1].message in str(refused.value)
    return str(refused.value).partition("FATAL:  ")[2].strip()


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def get(url: str, headers: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"{}"), dict(error.headers)


def imds(emulator: Emulator, **query: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    parameters = {"api-version": "2018-02-01", "resource": DATABASE, **query}
    base = emulator.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
    url = f"{base}/metadata/identity/oauth2/token?{urllib.parse.urlencode(parameters)}"
    return get(url, {"Metadata": "true"})


# --- the door -----------------------------------------------------------------------------------------------------


def test_login_is_the_role_and_is_encrypted(emulator: Emulator) -> None:
    identity = emulator.add_identity("app@contoso.com", "user")
    for version in ("TLSv1.2", "TLSv1.3"):
        with connect(
            emulator, identity, ssl_min_protocol_version=version, ssl_max_protocol_version=version
        ) as connection:
            assert one(connection, "SELECT current_user") == "app@contoso.com"
            assert connection.pgconn.ssl_in_use
            assert emulator.logins[-1].tls_version == version
    assert [(login.role, login.accepted) for login in emulator.logins] == [("app@contoso.com", True)] * 2
    assert emulator.logins[0].object_id == identity.object_id
    assert 0 <= emulator.logins[0].token_age < 30


@pytest.mark.parametrize(
    "name",
    ["guest_gmail.com#EXT#@contoso.onmicrosoft.com", "Mixed Case", 'a "quoted" name', "it's", "back\\slash", "名前"],
)
def test_any_role_name(emulator: Emulator, name: str) -> None:
    with connect(emulator, emulator.add_identity(name, "user")) as connection:
        assert one(connection, "SELECT current_user") == name


def test_server_bears_azure_names(emulator: Emulator) -> None:
    with connect(
        emulator, emulator.identity, host="server.postgres.database.azure.com", hostaddr="127.0.0.1"
    ) as connection:
        assert one(connection, "SELECT 1") == 1
    with pytest.raises(psycopg.OperationalError, match="certificate"):
        connect(emulator, emulator.identity, host="server.example.com", hostaddr="127.0.0.1")


def test_plain_connection_is_refused(emulator: Emulator) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry for host .*no encryption"):
        connect(emulator, emulator.identity, sslmode="disable")
    assert emulator.logins == []


def test_the_server_fails_as_told(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="kind='flood': one of no-tls, old-tls"):
        emulator.fail_server("flood")
    for kind, said in (
        ("no-tls", "server does not support SSL"),
        ("old-tls", "tlsv1 alert protocol version"),
        ("other-name", 'server certificate for "replica.example.com" does not match host name "localhost"'),
        ("expired-certificate", "certificate (has expired|verify failed)"),
        ("hang-up", "server closed the connection unexpectedly|Connection reset"),
        ("silence", "timeout expired"),
    ):
        emulator.fail_server(kind)
        with pytest.raises(psycopg.OperationalError, match=said):
            connect(emulator, emulator.identity, connect_timeout=2)
    emulator.heal()
    emulator.refuse("sorry, too many clients already", "53300")
    assert refusal(emulator, user="x", password=emulator.token(emulator.identity)) == "sorry, too many clients already"
    emulator.heal()
    connect(emulator, emulator.identity).close()


def test_the_endpoints_clock_can_be_off(emulator: Emulator) -> None:
    from email.utils import parsedate_to_datetime

    for skew in (600, -600):
        emulator.clock_skew = skew
        _, body, headers = imds(emulator)
        azures = time.time() + skew
        claims = claims_of(body["access_token"])
        assert abs(parsedate_to_datetime(headers["Date"]).timestamp() - azures) < 30
        assert abs(claims["iat"] - azures) < 30
        assert abs(int(body["expires_on"]) - azures - emulator.lifetime) < 30
        assert int(body["expires_in"]) == emulator.lifetime
        # The server goes by the same clock.
        connect(emulator, emulator.identity, password=body["access_token"]).close()
        emulator.clock_skew = skew + 2 * emulator.lifetime
        assert "has expired" in refusal(emulator, user=emulator.identity.role, password=body["access_token"])


def test_a_guests_tokens_name_its_home_account(emulator: Emulator) -> None:
    guest = emulator.add_identity("pat_example.org#EXT#@contoso.onmicrosoft.com", "guest")
    claims = claims_of(emulator.token(guest))
    assert (claims["unique_name"], claims["idp"]) == ("live.com#pat@example.org", "live.com")
    assert "upn" not in claims
    connect(emulator, guest).close()
    with pytest.raises(ValueError, match="a guest is named like"):
        emulator.add_identity("pat@example.org", "guest")


def test_assertions_are_dated_by_azures_clock(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.clock_skew = 100_000
    for name, value in emulator.workload_identity_env(emulator.add_identity("pod")).items():
        monkeypatch.setenv(name, value)
    with WorkloadIdentityCredential(disable_instance_discovery=True) as credential:
        assert claims_of(credential.get_token(DATABASE_SCOPE).token)["iat"] > time.time() + 90_000
    emulator.clock_skew = 0
    with (
        WorkloadIdentityCredential(disable_instance_discovery=True) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS700024"),
    ):
        credential.get_token(DATABASE_SCOPE)


def test_bad_tokens(emulator: Emulator) -> None:
    identity = emulator.identity
    good = claims_of(emulator.token(identity))

    def signed(**changes: Any) -> str:
        return emulator.sign({name: value for name, value in {**good, **changes}.items() if value is not None})

    validating = "An error occurred while validating the access token"
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    audience = "The access token does not have a valid audience claim"
    cases = [
        ("not a token", "The access token has invalid format"),
        ("a.b.c", "The access token has invalid format"),
        ("ÿ" * 30000, "The access token has invalid format"),
        (emulator.token(identity, lifetime=-1), "The access token has expired"),
        (emulator.token(identity, MANAGEMENT_SCOPE), audience),
        (signed(aud=None), audience),
        (signed(oid=None), "The access token does not have a valid oid claim"),
        (signed(nbf=int(time.time()) + 60), validating),
        (signed(exp=None), validating),
        (signed(tid="another"), validating),
        (jwt.encode(good, foreign, "RS256"), validating),
        (jwt.encode(good, "secret" * 8, "HS256"), validating),
        (jwt.encode(good, "", "none"), validating),
    ]
    for token, said in cases:
        assert refusal(emulator, user=identity.role, password=token).startswith(said)
    psycopg.connect(emulator.dsn, user=identity.role, password=signed()).close()
    assert all(token not in repr(emulator.logins) for token, _ in cases)


def test_a_token_expires_while_the_session_lives_on(emulator: Emulator) -> None:
    identity = emulator.identity
    token = emulator.token(identity, lifetime=0.1)
    with psycopg.connect(emulator.dsn, user=identity.role, password=token) as connection:
        time.sleep(max(0.0, claims_of(token)["exp"] - time.time()) + 0.05)
        assert refusal(emulator, user=identity.role, password=token).startswith("The access token has expired")
        assert one(connection, "SELECT 1") == 1


def test_every_cloud_is_accepted(emulator: Emulator) -> None:
    for suffix in ("windows.net", "usgovcloudapi.net", "chinacloudapi.cn"):
        token = emulator.token(emulator.identity, f"https://ossrdbms-aad.database.{suffix}/.default")
        psycopg.connect(emulator.dsn, user=emulator.identity.role, password=token).close()


def test_a_role_belongs_to_its_principal(emulator: Emulator) -> None:
    first, second = emulator.add_identity("First"), emulator.add_identity("Second")
    nobody = emulator.add_identity("nobody", role=None)
    for role, identity in (("missing", first), ("first", first), ("First", second), ("nobody", nobody)):
        said = refusal(emulator, user=role, password=emulator.token(identity))
        assert said == f'password authentication failed for user "{role}"'


def test_sqlstates(emulator: Emulator) -> None:
    """Psycopg and libpq hide them; asyncpg does not."""
    assert raw_login(emulator, "missing", emulator.token(emulator.identity))["C"] == "28P01"
    assert raw_login(emulator, str(emulator.identity.role), "x")["C"] == "28000"


def test_a_role_has_a_type(emulator: Emulator) -> None:
    app = emulator.add_identity("app", role="made-as-user", role_type="user")
    said = refusal(emulator, user="made-as-user", password=emulator.token(app))
    assert "neither an AAD_AUTH_TOKENTYPE_APP_USER or an AAD_AUTH_TOKENTYPE_APP_OBO token" in said
    user = emulator.add_identity("ann@contoso.com", "user", role="made-as-service", role_type="service")
    said = refusal(emulator, user="made-as-service", password=emulator.token(user))
    assert said.startswith("Service principals cannot generate AAD_AUTH_TOKENTYPE_APP_USER tokens for role")
    with pytest.raises(ValueError, match="role_type='app': one of user, service, group"):
        emulator.add_identity("other", role_type="app")


def test_group_members_log_in_with_their_own_tokens(emulator: Emulator) -> None:
    ann = emulator.add_identity("ann@contoso.com", "user", role=None)
    app = emulator.add_identity("app", role=None)
    emulator.add_group("Readers", [ann, app])
    for member in (ann, app):
        with connect(emulator, member, user="Readers") as connection:
            assert one(connection, "SELECT current_user") == "Readers"
    token = emulator.token(emulator.identity)
    assert refusal(emulator, user="Readers", password=token).startswith("password authentication failed")


def test_revoke_refuses_older_tokens_only(emulator: Emulator) -> None:
    identity = emulator.identity
    old = emulator.token(identity)
    emulator.revoke(str(identity.role))
    assert "validating the access token" in refusal(emulator, user=identity.role, password=old)
    connect(emulator, identity).close()


def test_errors_of_the_server_behind_arrive(emulator: Emulator) -> None:
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        connect(emulator, emulator.identity, dbname="nowhere")
    with connect(emulator, emulator.identity) as connection, pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1/0")


def test_cancel(emulator: Emulator) -> None:
    with connect(emulator, emulator.identity) as connection:
        timer = threading.Timer(0.2, connection.cancel_safe)
        timer.start()
        begin = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(20)")
        timer.join()
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("encrypted", [True, False])
def test_cancel_on_the_wire(emulator: Emulator, encrypted: bool) -> None:  # noqa: FBT001
    """Old clients cancel in the clear, new ones over TLS; either is answered by the end of the connection."""
    with raw_tls(emulator) as wire:
        key = wire.log_in(emulator)[b"K"]
        wire.query("SELECT pg_sleep(20)")
        eventually(lambda: emulator.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") != [])
        with socket.create_connection((emulator.host, emulator.port), timeout=5) as plain:
            other = Wire(emulator, plain) if encrypted else plain
            other.sendall(struct.pack("!ii", 16, 80877102) + key)
            assert other.recv(1) == b""
        answers = dict(iter(wire.message, (b"Z", b"I")))
    assert b"C57014" in answers[b"E"]


def test_large_copy_both_ways(emulator: Emulator) -> None:
    rows, line = 200_000, b"x" * 100 + b"\n"
    with connect(emulator, emulator.identity) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE big (line text)")
        with cursor.copy("COPY big FROM STDIN") as copy:
            for _ in range(rows // 1000):
                copy.write(line * 1000)
        assert one(connection, "SELECT count(*) FROM big") == rows
        with cursor.copy("COPY big TO STDOUT") as copy:
            assert sum(len(block) for block in copy) == rows * len(line)


def test_three_hundred_at_once(emulator: Emulator) -> None:
    token = emulator.token(emulator.identity)

    async def all_of_them() -> list[Any]:
        async with contextlib.AsyncExitStack() as stack:

            async def opened() -> Any:
                connection = await psycopg.AsyncConnection.connect(
                    emulator.dsn, user=emulator.identity.role, password=token
                )
                return await stack.enter_async_context(connection)

            connections = await asyncio.gather(*(opened() for _ in range(300)))
            cursors = await asyncio.gather(*(c.execute("SELECT pg_backend_pid()") for c in connections))
            assert sessions(emulator) == 300
            return [await cursor.fetchone() for cursor in cursors]

    assert len(set(asyncio.run(all_of_them()))) == 300
    eventually(lambda: sessions(emulator) == 0)


def sessions(emulator: Emulator) -> int:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{emulator.identity.role}'"  # noqa: S608
    return int(emulator.sql(query)[0][0] or 0)


def test_a_client_that_vanishes_leaves_no_session(emulator: Emulator) -> None:
    connection = connect(emulator, emulator.identity)
    assert sessions(emulator) == 1
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
    eventually(lambda: sessions(emulator) == 0)
    connection.close()


def test_a_killed_session_ends_the_client(emulator: Emulator) -> None:
    with connect(emulator, emulator.identity, autocommit=True) as connection:
        emulator.sql(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("SELECT 1")


def test_half_close_still_gets_the_answer(emulator: Emulator) -> None:
    with raw_tls(emulator) as wire:
        wire.log_in(emulator)
        wire.query("SELECT repeat('x', 1000000)")
        wire.close_sending()
        received = b"".join(iter(lambda: wire.recv(65536), b""))
    assert b"x" * 1_000_000 in received


@pytest.mark.parametrize(
    "garbage", [b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", struct.pack("!ii", 8, 80877103) + b"no TLS"]
)
def test_garbage_does_no_harm(emulator: Emulator, garbage: bytes) -> None:
    with socket.create_connection((emulator.host, emulator.port), timeout=5) as wire:
        wire.sendall(garbage)
        wire.shutdown(socket.SHUT_WR)
        while wire.recv(1000):
            pass
    connect(emulator, emulator.identity).close()


def test_a_silent_client_holds_up_nobody(emulator: Emulator) -> None:
    authority = urllib.parse.urlsplit(emulator.env["AZURE_AUTHORITY_HOST"])
    with (
        socket.create_connection((emulator.host, emulator.port)),
        socket.create_connection((str(authority.hostname), authority.port or 0)),
    ):
        connect(emulator, emulator.identity, connect_timeout=5).close()
        context = ssl.create_default_context(cafile=emulator.ca_file)
        url = f"{authority.geturl()}/{emulator.tenant_id}/discovery/v2.0/keys"
        with urllib.request.urlopen(url, timeout=5, context=context) as response:  # noqa: S310
            assert json.load(response)["keys"][0]["kty"] == "RSA"


class Wire:
    """A TLS client without a driver; unlike SSLSocket it can close its sending half and read on."""

    def __init__(self, emulator: Emulator, plain: socket.socket) -> None:
        self.plain = plain
        for request, answer in ((80877104, b"N"), (80877103, b"S")):  # GSS encryption, TLS
            plain.sendall(struct.pack("!ii", 8, request))
            assert plain.recv(1) == answer
        context = ssl.create_default_context(cafile=emulator.ca_file)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self._do(self.tls.do_handshake)

    def _do(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.flush()
                self.incoming.write(self.plain.recv(65536))
            else:
                self.flush()
                return result

    def flush(self) -> None:
        self.plain.sendall(self.outgoing.read())

    def sendall(self, data: bytes) -> None:
        self._do(lambda: self.tls.write(data))

    def recv(self, size: int) -> bytes:
        try:
            return bytes(self._do(lambda: self.tls.read(size)))
        except ssl.SSLZeroReturnError:
            return b""

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.recv(size - len(data))
            assert piece, "the server closed the connection"
            data += piece
        return data

    def message(self) -> tuple[bytes, bytes]:
        kind, length = struct.unpack("!ci", self.exactly(5))
        return kind, self.exactly(length - 4)

    def query(self, text: str) -> None:
        payload = text.encode() + b"\0"
        self.sendall(b"Q" + struct.pack("!i", len(payload) + 4) + payload)

    def close_sending(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()

    def authenticate(self, user: str, password: str) -> tuple[bytes, bytes]:
        startup = struct.pack("!i", 3 << 16) + f"user\0{user}\0database\0postgres\0\0".encode()
        self.sendall(struct.pack("!i", len(startup) + 4) + startup)
        assert self.message() == (b"R", struct.pack("!i", 3))
        secret = password.encode() + b"\0"
        self.sendall(b"p" + struct.pack("!i", len(secret) + 4) + secret)
        return self.message()

    def log_in(self, emulator: Emulator) -> dict[bytes, bytes]:
        user, token = str(emulator.identity.role), emulator.token(emulator.identity)
        assert self.authenticate(user, token) == (b"R", struct.pack("!i", 0))
        return dict(iter(self.message, (b"Z", b"I")))


@contextlib.contextmanager
def raw_tls(emulator: Emulator) -> Iterator[Wire]:
    with socket.create_connection((emulator.host, emulator.port), timeout=10) as plain:
        yield Wire(emulator, plain)


def raw_login(emulator: Emulator, user: str, password: str) -> dict[str, str]:
    with raw_tls(emulator) as wire:
        kind, payload = wire.authenticate(user, password)
        assert kind == b"E"
        assert wire.recv(1) == b""  # closed in order, with close_notify
    fields = payload.decode().split("\0")
    return {field[0]: field[1:] for field in fields if field}


# --- the identity endpoints -----------------------------------------------------------------------------------------


def test_app_service(emulator: Emulator) -> None:
    url = emulator.env["IDENTITY_ENDPOINT"] + f"?api-version=2019-08-01&resource={DATABASE}"
    secret = {"X-IDENTITY-HEADER": emulator.env["IDENTITY_HEADER"]}
    status, answer, _ = get(url, secret)
    assert status == 200
    assert set(answer) == {"access_token", "expires_on", "resource", "token_type", "client_id"}
    assert answer["client_id"] == emulator.identity.client_id
    assert answer["expires_on"] == str(claims_of(answer["access_token"])["exp"])
    assert get(url, {})[0] == 401
    assert get(url, {"X-IDENTITY-HEADER": "wrong"})[0] == 403
    assert get(url + "&client_id=unknown", secret)[0] == 400
    other = emulator.add_identity("other")
    for key, value in (
        ("client_id", other.client_id),
        ("object_id", other.object_id),
        ("principal_id", other.object_id),
        ("mi_res_id", str(other.resource_id)),
    ):
        assert get(f"{url}&{key}={urllib.parse.quote(value)}", secret)[1]["client_id"] == other.client_id
    records = [(r.endpoint, r.resource, r.status) for r in emulator.token_requests]
    statuses = [200, 401, 403, 400, 200, 200, 200, 200]
    assert records == [("app-service", DATABASE, status) for status in statuses]


def test_imds(emulator: Emulator) -> None:
    status, answer, _ = imds(emulator)
    assert status == 200
    assert set(answer) == {
        "access_token", "client_id", "expires_in", "expires_on", "ext_expires_in", "not_before", "resource", "token_type"  # noqa: E501
    }  # fmt: skip
    assert all(isinstance(value, str) for value in answer.values())
    assert answer["expires_in"] == "3600"
    url = emulator.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] + "/metadata/identity/oauth2/token"
    assert get(url, {})[:2] == (
        400,
        {"error": "invalid_request", "error_description": "Required metadata header not specified"},
    )
    assert imds(emulator, client_id="unknown")[1]["error_description"] == "Identity not found"
    system = emulator.add_identity("vm-1", "system-assigned", default=True)
    assert imds(emulator)[1]["client_id"] == system.client_id
    principal = emulator.add_identity("app", "service-principal")
    assert imds(emulator, client_id=principal.client_id)[0] == 400


def test_claims(emulator: Emulator) -> None:
    def of(identity: Identity, scope: str = DATABASE_SCOPE) -> dict[str, Any]:
        return claims_of(emulator.token(identity, scope))

    managed = of(emulator.identity)
    assert managed["xms_mirid"].endswith("/Microsoft.ManagedIdentity/userAssignedIdentities/emulator-identity")
    assert (managed["aud"], managed["idtyp"], managed["ver"]) == (DATABASE, "app", "1.0")
    assert managed["oid"] == emulator.identity.object_id
    assert 1500 < len(emulator.token(emulator.identity)) < 2100
    system = of(emulator.add_identity("vm-1", "system-assigned"))
    assert system["xms_mirid"].endswith("/Microsoft.Compute/virtualMachines/vm-1")
    principal = of(emulator.add_identity("app", "service-principal"))
    assert not {"xms_mirid", "app_displayname", "upn", "unique_name", "name"} & set(principal)
    user = of(emulator.add_identity("ann@contoso.com", "user"))
    assert (user["upn"], user["unique_name"], user["scp"]) == (
        "ann@contoso.com",
        "ann@contoso.com",
        "user_impersonation",
    )
    assert "idtyp" not in user
    hidden = emulator.add_identity("hidden", claims={"extra": 1}, database_claims={"xms_mirid": None})
    assert "xms_mirid" not in of(hidden)
    assert "xms_mirid" in of(hidden, MANAGEMENT_SCOPE)
    assert of(hidden)["extra"] == of(hidden, MANAGEMENT_SCOPE)["extra"] == 1


class TestCertificateAssertions:
    """What an application signs with its certificate, sent as no client library would."""

    @pytest.fixture
    def sent(self, emulator: Emulator) -> Callable[..., int]:
        app, other = (emulator.add_identity(name, "service-principal") for name in ("app", "other"))
        files = {
            identity.name: Path(emulator.client_certificate_env(identity)["AZURE_CLIENT_CERTIFICATE_PATH"]).read_bytes()
            for identity in (app, other)
        }
        url = f"{emulator.env['AZURE_AUTHORITY_HOST']}/{emulator.tenant_id}/oauth2/v2.0/token"
        context = ssl.create_default_context(cafile=emulator.ca_file)

        def send(key_of: str = "app", thumbprint_of: str = "app", **changes: Any) -> int:
            """Give Entra's code for a refusal, 0 for a token."""
            now = int(time.time())
            claims = {"aud": url, "iss": app.client_id, "sub": app.client_id, "jti": "1", "nbf": now, "exp": now + 60}
            claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
            certificate = x509.load_pem_x509_certificate(files[thumbprint_of])
            digest = certificate.fingerprint(hashes.SHA1())  # noqa: S303 - what Entra calls certificates by
            headers = {"x5t": base64.urlsafe_b64encode(digest).decode().rstrip("=")}
            assertion = jwt.encode(claims, load_pem_private_key(files[key_of], None), "RS256", headers)  # type: ignore[arg-type]
            form = {
                "grant_type": "client_credentials",
                "client_id": app.client_id,
                "client_assertion": assertion,
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "scope": DATABASE_SCOPE,
            }
            try:
                urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), context=context).close()  # noqa: S310
            except urllib.error.HTTPError as error:
                with error:
                    return int(json.load(error)["error_codes"][0])
            return 0

        return send

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({}, 0),
            ({"iss": "somebody"}, 700021),
            ({"sub": "somebody"}, 700021),
            ({"iss": "somebody", "sub": "somebody"}, 700021),
            ({"iss": None}, 700027),
            ({"sub": None}, 700027),
            ({"jti": None}, 700027),
            ({"exp": None}, 700027),
            ({"exp": 1}, 700024),
            ({"nbf": 1 << 40}, 700024),
            ({"aud": "https://login.microsoftonline.com/"}, 700023),
            ({"aud": None}, 700027),
            ({"key_of": "other"}, 700027),
            ({"thumbprint_of": "other"}, 700027),
            ({"key_of": "other", "thumbprint_of": "other"}, 700027),
        ],
    )
    def test_are_verified(self, changes: dict[str, Any], code: int, sent: Callable[..., int]) -> None:
        assert sent(**changes) == code


def test_lifetime_and_latency(emulator: Emulator) -> None:
    emulator.lifetime, emulator.latency = 7200, 0.3
    begin = time.monotonic()
    answer = imds(emulator)[1]
    assert 0.3 <= time.monotonic() - begin < 3
    # Whole seconds that are left, some of one of which is gone.
    assert answer["expires_in"] in {"7199", "7200"}


def test_faults(emulator: Emulator) -> None:
    emulator.fail(500, times=2, headers={"Retry-After": "7"})
    probe = emulator.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] + "/metadata/identity/oauth2/token"
    assert get(probe, {})[0] == 400  # a probe does not use the failure up
    status, body, headers = imds(emulator)
    assert (status, headers["Retry-After"]) == (500, "7")
    assert "error" in body
    assert [imds(emulator)[0] for _ in range(2)] == [500, 200]
    emulator.fail(418, body='{"mine": true}')
    assert get(probe, {})[0] == 418
    assert imds(emulator)[:2] == (418, {"mine": True})
    emulator.fail(reset=True)
    with pytest.raises(ConnectionResetError):
        imds(emulator)
    emulator.fail(truncate=True)
    with pytest.raises(Exception, match="IncompleteRead"):
        imds(emulator)
    emulator.fail(hang=True)
    threading.Timer(0.3, emulator.heal).start()
    begin = time.monotonic()
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        imds(emulator)
    assert time.monotonic() - begin > 0.25
    assert imds(emulator)[0] == 200
    statuses = [request.status for request in emulator.token_requests]
    assert statuses == [400, 500, 500, 200, 418, 418, 0, 200, 0, 200]


def test_throttle(emulator: Emulator) -> None:
    emulator.throttle(per_second=3)
    answers = [imds(emulator) for _ in range(5)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]
    assert answers[-1][2]["Retry-After"] == "1"
    emulator.throttle(per_second=1000, concurrent=2)
    emulator.latency = 0.5
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(imds(emulator)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [200, 200, 429, 429]
    emulator.throttle(None)
    emulator.latency = 0
    assert {imds(emulator)[0] for _ in range(40)} == {200}


@pytest.mark.parametrize("protocol", ["app-service", "imds"])
def test_azure_identity_managed(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:

    if protocol == "imds":
        monkeypatch.delenv("IDENTITY_ENDPOINT")
        monkeypatch.delenv("IDENTITY_HEADER")
    other = emulator.add_identity("other")
    for identity, options in (
        (emulator.identity, {}),
        (other, {"client_id": other.client_id}),
        (other, {"identity_config": {"object_id": other.object_id}}),
        (other, {"identity_config": {"resource_id": other.resource_id}}),
    ):
        with ManagedIdentityCredential(**options) as credential:
            token = credential.get_token(DATABASE_SCOPE)
        assert abs(token.expires_on - claims_of(token.token)["exp"]) <= 1
        with psycopg.connect(user=identity.role, password=token.token) as connection:  # the rest is in PG*
            assert one(connection, "SELECT current_user") == identity.role
    assert {request.endpoint for request in emulator.token_requests} == {protocol}
    with ManagedIdentityCredential(client_id="unknown") as credential, pytest.raises(CredentialUnavailableError):
        credential.get_token(DATABASE_SCOPE)


def test_azure_identity_client_secret(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:

    principal = emulator.add_identity("app", "service-principal")
    env = emulator.client_secret_env(principal)
    assert not {"IDENTITY_ENDPOINT", "IDENTITY_HEADER"} & set(env)
    assert str(principal.client_secret) not in repr(principal)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def token(tenant: str = env["AZURE_TENANT_ID"], client: str = principal.client_id, secret: str = "") -> str:
        with ClientSecretCredential(
            tenant,
            client,
            secret or env["AZURE_CLIENT_SECRET"],
            authority=env["AZURE_AUTHORITY_HOST"],
            disable_instance_discovery=True,
        ) as credential:
            return str(credential.get_token(DATABASE_SCOPE).token)

    with psycopg.connect(emulator.dsn, user="app", password=token()) as connection:
        assert one(connection, "SELECT current_user") == "app"
    with pytest.raises(ClientAuthenticationError, match=r"(?s)AADSTS7000215: .*\r\nTrace ID: .*\r\nTimestamp: "):
        token(secret="wrong")
    with pytest.raises(ClientAuthenticationError, match="AADSTS700016"):
        token(client="11111111-1111-1111-1111-111111111111")
    with pytest.raises(ClientAuthenticationError, match="check your tenant name or GUID"):
        token(tenant="22222222-2222-2222-2222-222222222222")
    assert [request.status for request in emulator.token_requests] == [200, 401, 400]


@pytest.mark.parametrize(
    ("change", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": None}, 401, "invalid_client", 7000216),
        ({"client_id": "unknown"}, 400, "unauthorized_client", 700016),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"scope": DATABASE}, 400, "invalid_scope", 1002012),
        ({"tenant": "unknown"}, 400, "invalid_request", 90002),
        ({"client_assertion": "x"}, 400, "invalid_request", 90014),
    ],
)
def test_refusals_of_the_token_endpoint(
    emulator: Emulator, change: dict[str, str], status: int, error: str, code: int
) -> None:
    principal = emulator.add_identity("app", "service-principal")
    form = {"grant_type": "client_credentials", "scope": DATABASE_SCOPE, "tenant": emulator.tenant_id}
    form.update(client_id=principal.client_id, client_secret=str(principal.client_secret))
    form = {name: value for name, value in {**form, **change}.items() if value is not None}
    url = f"{emulator.env['AZURE_AUTHORITY_HOST']}/{form.pop('tenant')}/oauth2/v2.0/token"
    context = ssl.create_default_context(cafile=emulator.ca_file)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), context=context)  # noqa: S310
    with refused.value as response:
        body = json.load(response)
    assert (refused.value.code, body["error"], body["error_codes"]) == (status, error, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert {"timestamp", "trace_id", "correlation_id", "error_uri"} < set(body)


def test_azure_identity_workload(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:

    identity = emulator.add_identity("pod")
    env = emulator.workload_identity_env(identity)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def token() -> str:
        with WorkloadIdentityCredential(disable_instance_discovery=True) as credential:
            return str(credential.get_token(DATABASE_SCOPE).token)

    with psycopg.connect(emulator.dsn, user="pod", password=token()) as connection:
        assert one(connection, "SELECT current_user") == "pod"
    other = emulator.workload_identity_env(emulator.identity)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", other["AZURE_FEDERATED_TOKEN_FILE"])
    with pytest.raises(ClientAuthenticationError, match="AADSTS700213"):
        token()
    Path(other["AZURE_FEDERATED_TOKEN_FILE"]).write_text(emulator.token(identity))
    with pytest.raises(ClientAuthenticationError, match="AADSTS700212"):
        token()
    Path(other["AZURE_FEDERATED_TOKEN_FILE"]).write_text("rubbish")
    with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        token()


def test_reset_and_duplicates(emulator: Emulator) -> None:
    first = emulator.identity
    added = emulator.add_identity("added", default=True)
    emulator.add_group("all", [added])
    with pytest.raises(ValueError, match="belongs to another identity"):
        emulator.add_identity("another", role="added")
    with pytest.raises(ValueError, match="kind='robot': one of user-assigned"):
        emulator.add_identity("another", "robot")
    with connect(emulator, added) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    emulator.lifetime = 5
    emulator.reset()
    assert (emulator.identity, emulator.lifetime, emulator.logins) == (first, 3600, [])
    assert refusal(emulator, user="added", password=emulator.token(added)).startswith("password authentication failed")
    assert emulator.sql("SELECT rolname FROM pg_roles WHERE rolname IN ('added', 'all')") == []
    connect(emulator, emulator.add_identity("added")).close()


def test_identities_go_by_their_names(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    app = emulator.add_identity("app", "service-principal")
    emulator.add_identity("pod")
    assert claims_of(emulator.token("app"))["oid"] == app.object_id
    assert emulator.client_secret_env("app")["AZURE_CLIENT_ID"] == app.client_id
    assert emulator.client_certificate_env("app")["AZURE_CLIENT_ID"] == app.client_id
    assert "AZURE_FEDERATED_TOKEN_FILE" in emulator.workload_identity_env("pod")
    assert emulator.pipelines_url("pod", "secret").startswith("https://")
    assert emulator.add_group("all", ["app", emulator.identity]).members == (app, emulator.identity)
    emulator.identity = "pod"
    assert emulator.identity.name == "pod"
    old = emulator.token("pod")
    emulator.revoke(emulator.identity)
    assert "validating the access token" in refusal(emulator, user="pod", password=old)
    emulator.remove("all")
    emulator.remove("app")
    assert refusal(emulator, user="app", password=emulator.token(app)).startswith("password authentication failed")
    emulator.add_identity("twin", role=None)
    emulator.add_identity("twin", role="other twin")
    for call, said in (
        (lambda: emulator.token("nobody"), "'nobody' is not known here; there are 'emulator-identity', 'pod', "),
        (lambda: emulator.token("twin"), "'twin' is the name of 2 identities; pass the identity itself"),
        (lambda: emulator.remove(app), "'app' does not belong to this emulator, or was removed"),
        (lambda: emulator.revoke("nobody"), "there is no role 'nobody'; there are 'emulator-identity', 'pod', "),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(TypeError, match="expected an identity or its name, not int"):
        emulator.token(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="members='app': expected a list"):
        emulator.add_group("readers", "app")
    with pytest.raises(TypeError, match="expected an identity, a group or a name, not int"):
        emulator.remove(5)  # type: ignore[arg-type]


def test_wrong_values_are_refused_where_they_are_set(emulator: Emulator) -> None:
    nan = float("nan")
    wrong: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (ValueError, "lifetime=-5: expected seconds, 0 or more", lambda: Emulator(lifetime=-5)),
        (TypeError, "lifetime='3': expected a number", lambda: Emulator(lifetime="3")),  # type: ignore[arg-type]
        (ValueError, "latency=nan: expected seconds", lambda: Emulator(latency=nan)),
        (ValueError, "records=-1: expected 0 or more", lambda: Emulator(records=-1)),
        (ValueError, "lifetime=inf", lambda: setattr(emulator, "lifetime", float("inf"))),
        (TypeError, "latency=None", lambda: setattr(emulator, "latency", None)),
        (ValueError, "lifetime=nan: expected seconds", lambda: emulator.token("emulator-identity", lifetime=nan)),
        (ValueError, "status=42: expected 200 to 599", lambda: emulator.fail(42)),
        (TypeError, "status='503': expected a whole number", lambda: emulator.fail("503")),  # type: ignore[arg-type]
        (ValueError, "times=-1: expected 0 or more", lambda: emulator.fail(times=-1)),
        (TypeError, "times=0.5: expected a whole number", lambda: emulator.fail(times=0.5)),  # type: ignore[arg-type]
        (ValueError, "per_second=0: expected a number above 0", lambda: emulator.throttle(0)),
        (ValueError, "concurrent=0: expected 1 or more", lambda: emulator.throttle(5, 0)),
        (ValueError, "sqlstate='x': expected five digits", lambda: emulator.refuse("no", "x")),
        (ValueError, "message='': expected a text", lambda: emulator.refuse("")),
        (ValueError, "is longer than the 63 bytes that PostgreSQL allows", lambda: emulator.add_identity("n" * 64)),
        (ValueError, "PostgreSQL refuses the role 'pg_own'", lambda: emulator.add_identity("pg_own")),
        (ValueError, "role 'postgres' administers the server", lambda: emulator.add_identity("postgres")),
    ]
    for error, said, call in wrong:
        with pytest.raises(error, match=said):
            call()
    assert (emulator.lifetime, emulator.latency) == (3600, 0)
    assert imds(emulator)[0] == 200
    connect(emulator, emulator.identity).close()


def test_reset_leaves_no_data(emulator: Emulator) -> None:
    other = emulator.add_identity("other")
    emulator.sql("CREATE DATABASE theirs OWNER other")
    emulator.sql("CREATE DATABASE everybodys")
    emulator.sql("""CREATE DATABASE "the first's" OWNER "emulator-identity" """)
    emulator.sql("GRANT CONNECT ON DATABASE everybodys TO other")
    databases = ("postgres", "theirs", "everybodys", "the first's")

    def tables(database: str) -> list[tuple[str | None, ...]]:
        query = "SELECT tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        return emulator.sql(query, database=database)

    def make() -> None:
        for identity in (emulator.identity, other):
            for database in databases:
                with connect(emulator, identity, dbname=database) as connection:
                    if database != "the first's" or identity is not other:
                        connection.execute(f"CREATE TABLE {identity.name[:5]} (id int)")

    try:
        make()
        assert tables("everybodys") == [("emulator-identity",), ("other",)]
        # Somebody is still in a transaction, and somebody else has an open connection without one.
        busy = connect(emulator, emulator.identity)
        busy.execute("SELECT * FROM emula")
        idle = connect(emulator, emulator.identity, dbname="everybodys", autocommit=True)
        idle.execute("SELECT * FROM emula")
        emulator.reset()
        assert [tables(name) for name in databases if name != "theirs"] == [[], [], []]
        assert emulator.sql("SELECT datname FROM pg_database WHERE datname = 'theirs'") == []
        assert emulator.sql("SELECT rolname FROM pg_roles WHERE rolname = 'other'") == []
        assert one(idle, "SELECT 1") == 1
        with pytest.raises(psycopg.errors.AdminShutdown):
            busy.execute("SELECT 1")
        busy.close()
        idle.close()
        # Or what the first one has made is kept.
        with connect(emulator, emulator.identity) as connection:
            connection.execute("CREATE TABLE kept (id int)")
        emulator.reset(keep_data=True)
        assert tables("postgres") == [("emulator-identity",)]
    finally:
        for database in ("theirs", "everybodys", "the first's"):
            emulator.sql(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def test_reset_brings_the_first_identity_back(emulator: Emulator) -> None:
    first = emulator.identity
    emulator.remove(first)
    emulator.reset()
    assert emulator.identity is first
    connect(emulator, first).close()


def test_records_are_bounded() -> None:
    with Emulator(records=2) as small:
        for number in range(3):
            small.fail(500 + number)
            assert imds(small)[0] == 500 + number
            refusal(small, user=str(number), password="x")
        assert [request.status for request in small.token_requests] == [501, 502]
        assert [login.role for login in small.logins] == ["1", "2"]


def test_an_error_in_an_answer_is_a_500(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    groups: list[Any] = ["a"]
    emulator.add_identity("app", claims={"groups": groups}, default=True)
    assert imds(emulator)[0] == 200
    groups.append(object())  # which JSON cannot carry
    status, body, _ = imds(emulator)
    assert (status, body["error"]) == (500, "server_error")
    assert "could not answer GET /metadata/identity/oauth2/token" in caplog.text
    assert "not JSON serializable" in caplog.text
    assert [request.status for request in emulator.token_requests] == [200, 500]


# --- coming and going -----------------------------------------------------------------------------------------------


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a directory for temporary files that no other program uses and PostgreSQL's account can enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", directory)
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def postmaster(emulator: Emulator) -> int:
    data = emulator.sql("SHOW data_directory")[0][0]
    return int(Path(str(data), "postmaster.pid").read_text().split()[0])


def run_script(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who listens where")
def test_nobody_else_reaches_it(emulator: Emulator) -> None:
    """Neither by the network nor through the file system."""
    urls = (emulator.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"], emulator.env["AZURE_AUTHORITY_HOST"])
    ports = {emulator.port, *(urllib.parse.urlsplit(url).port for url in urls)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, port = local.partition(":")
            if state == "0A" and int(port, 16) in ports:
                found.add((int(port, 16), address))
    loopback = {"0100007F", "0" * 24 + "01000000"}
    assert {port for port, _ in found} == ports
    assert {address for _, address in found} <= loopback
    assert emulator.sql("SHOW listen_addresses") == [("",)]
    # PostgreSQL's socket trusts whoever can open it.
    home = Path(str(emulator.sql("SHOW data_directory")[0][0])).parent
    assert (home / ".s.PGSQL.5432").is_socket()
    assert home.stat().st_mode & 0o777 == 0o700
    # Root lets the server's account through.
    assert home.parent.stat().st_mode & 0o777 == (0o711 if os.geteuid() == 0 else 0o700)


def test_secrets_in_files_are_for_their_owner_only(emulator: Emulator) -> None:
    app = emulator.add_identity("app", "service-principal")
    before = os.umask(0)
    try:
        paths = [
            emulator.client_certificate_env(app, form=form)["AZURE_CLIENT_CERTIFICATE_PATH"]
            for form in ("pem", "pkcs12")
        ]
        paths.append(emulator.workload_identity_env(app)["AZURE_FEDERATED_TOKEN_FILE"])
        older = set(emulator.arc_keys.iterdir()) if emulator.arc_keys.exists() else set()
        assert get(emulator.host_env("azure-arc")["IDENTITY_ENDPOINT"], {"Metadata": "true"})[0] == 401
        paths.extend(map(str, set(emulator.arc_keys.iterdir()) - older))
    finally:
        os.umask(before)
    assert len(paths) == 4
    assert {Path(path).stat().st_mode & 0o777 for path in paths} == {0o600}


def test_two_at_once_and_nothing_left(emulator: Emulator, temporary: Path) -> None:
    threads = set(threading.enumerate())
    with Emulator() as second:
        pid = postmaster(second)
        connect(second, second.identity).close()
        said = refusal(emulator, user=emulator.identity.role, password=second.token(second.identity))
        assert said.startswith("An error occurred while validating")
        held = connect(second, second.identity)
        assert len(list(temporary.iterdir())) == 1
    with pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
    held.close()
    assert list(temporary.iterdir()) == []
    assert not is_alive(pid)
    assert set(threading.enumerate()) <= threads
    with pytest.raises(RuntimeError, match="not running"):
        second.dsn  # noqa: B018
    with second, connect(second, second.identity) as connection:  # the same object again
        assert one(connection, "SELECT 1") == 1
    connect(emulator, emulator.identity).close()


def test_a_start_that_fails_leaves_nothing(temporary: Path) -> None:
    threads = set(threading.enumerate())
    broken = temporary / "broken"
    broken.mkdir()
    for program in ("postgres", "initdb"):
        (broken / program).write_text('#!/bin/sh\necho no luck today; [ "$1" = --version ]\n')
        (broken / program).chmod(0o755)
    for error, said, options in (
        (RuntimeError, r"(?s)initdb failed.*no luck today", {"postgres": broken}),
        (ValueError, "expected a directory with the programs", {"postgres": "/nowhere"}),
        (RuntimeError, "dsn= cannot be used", {"dsn": "postgresql://someone:secret@127.0.0.1:9/db"}),
        (ValueError, "dsn: expected postgresql://ADMIN", {"dsn": "dbname=db"}),
    ):
        with pytest.raises(error, match=said), Emulator(**options):
            pass
        assert list(temporary.iterdir()) == [broken]
        assert set(threading.enumerate()) == threads


def test_forgotten_emulator_stops_at_exit() -> None:
    done = run_script(
        """
        from azure_postgresql_auth.emulator import Emulator
        emulator = Emulator().__enter__()
        print(emulator.sql("SHOW data_directory")[0][0])
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not Path(done.stdout.strip()).exists()


def test_killed_program_leaves_no_server() -> None:
    script = """
        import os, signal, sys
        from azure_postgresql_auth.emulator import Emulator
        emulator = Emulator().__enter__()
        if os.fork() == 0:
            os.close(1)
            os.close(2)
            signal.pause()  # a child that lives on does not keep the server
        print(emulator.sql("SHOW data_directory")[0][0], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        data = Path(process.communicate(timeout=30)[0].strip())
        assert data.name == "data"
        eventually(lambda: not data.parent.parent.exists(), 15)
    finally:
        os.killpg(process.pid, 9)


@pytest.mark.parametrize("program", ["initdb", "postgres"])
def test_killed_while_it_starts_leaves_nothing(temporary: Path, program: str) -> None:
    """Whichever of the server's programs runs at that moment, and whatever it writes after that."""
    real = binaries.find(None)
    tools = temporary / "tools"
    tools.mkdir()
    for name in ("initdb", "postgres"):
        pause = f'echo $$ > {temporary}/running; sleep 30; mkdir -p "$2"' if name == program else ""
        script = f'#!/bin/sh\n[ "$1" = --version ] && exec {real}/{name} --version\n{pause}\nexec {real}/{name} "$@"\n'
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    (temporary / "running").touch()
    (temporary / "running").chmod(0o666)
    script = f"from azure_postgresql_auth.emulator import Emulator; Emulator(postgres={str(tools)!r}).__enter__()"
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as process:
        eventually(lambda: bool((temporary / "running").read_text().strip()), 30)
        process.kill()
    pid = int((temporary / "running").read_text())
    eventually(lambda: not is_alive(pid), 15)
    eventually(lambda: sorted(path.name for path in temporary.iterdir()) == ["running", "tools"], 15)


def test_fork_does_not_stop_it() -> None:
    done = run_script(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from azure_postgresql_auth.emulator import Emulator
        import psycopg
        with Emulator() as emulator:
            if os.fork() == 0:
                sys.exit(0)  # runs __exit__ and atexit
            assert os.wait()[1] == 0
            kept = emulator.__class__()
            token = emulator.token(emulator.identity)
            with psycopg.connect(emulator.dsn, user=emulator.identity.role, password=token) as connection:
                print(connection.execute("SELECT 'alive'").fetchone()[0])
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_and_an_ordinary_user() -> None:
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        package = binaries.find(None).parent.parent
        for site in ("open", "closed"):  # virtual environments that all may read, or only root
            for folder in (package, package.with_name(f"{package.name}.libs")):
                if folder.is_dir():
                    shutil.copytree(folder, f"{base}/{site}/{folder.name}", ignore=shutil.ignore_patterns("include"))
            subprocess.run(["chmod", "-R", "a+rX" if site == "open" else "go-rwx", f"{base}/{site}"], check=True)
        done = run_script(
            f"""
            import os, pwd
            from azure_postgresql_auth.emulator import Emulator
            import psycopg
            def who_runs_postgres(site):
                with Emulator(postgres=f"{base}/{{site}}/{package.name}/pginstall/bin") as emulator:
                    data = emulator.sql("SHOW data_directory")[0][0]
                    token = emulator.token(emulator.identity)
                    psycopg.connect(emulator.dsn, user=emulator.identity.role, password=token).close()
                    return pwd.getpwuid(os.stat(data).st_uid).pw_name
            assert os.stat("{base}/closed").st_mode & 0o777 == 0o700
            first, second = who_runs_postgres("closed"), who_runs_postgres("open")
            nobody = pwd.getpwnam("nobody")
            os.environ["HOME"] = "/nonexistent"  # libpq looks there for certificates
            os.setgroups([]); os.setgid(nobody.pw_gid); os.setuid(nobody.pw_uid)
            print("root" in (first, second), who_runs_postgres("open"))
            """,
            cwd="/",
        )
    assert (done.stderr, done.stdout) == ("", "False nobody\n")


def test_a_given_servers_administrator_need_not_be_superuser(emulator: Emulator) -> None:
    home = Path(str(emulator.sql("SHOW data_directory")[0][0])).parent
    emulator.sql('CREATE ROLE clerk CREATEROLE LOGIN; GRANT "emulator-identity" TO clerk WITH ADMIN OPTION')
    try:
        with Emulator(dsn=f"postgresql://clerk@/postgres?host={home}") as second:
            connect(second, second.add_identity("other")).close()
            with pytest.raises(ValueError, match="role 'clerk' administers the server behind the emulator"):
                second.add_identity("clerk")
        assert emulator.sql("SELECT rolname FROM pg_roles WHERE rolname = 'other'") == []
    finally:
        emulator.sql("DROP ROLE clerk")


@pytest.mark.parametrize("method", ["trust", "password", "scram-sha-256"])
def test_a_given_server(emulator: Emulator, method: str) -> None:
    """The emulator's own server plays the given one, with another authentication method."""
    home = Path(str(emulator.sql("SHOW data_directory")[0][0])).parent
    emulator.sql("DROP ROLE IF EXISTS boss; CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'it''s:@secret'")
    emulator.sql("CREATE ROLE taken")
    emulator.sql(f"COPY (VALUES ('local all postgres trust'), ('local all all {method}')) TO '{home}/data/pg_hba.conf'")
    emulator.sql("SELECT pg_reload_conf()")
    password = urllib.parse.quote("it's:@secret", safe="")
    try:
        with Emulator(dsn=f"postgresql://boss:{password}@/postgres?host={home}") as second:
            other = second.add_identity("other 'quoted'")
            with connect(second, other) as connection:
                assert one(connection, "SELECT current_user") == other.role
            connect(second, second.add_identity("taken")).close()
            for administrator in ("boss", "postgres"):
                with pytest.raises(ValueError, match=f"role '{administrator}' administers the server"):
                    second.add_identity(administrator)
        names = "SELECT rolname FROM pg_roles WHERE rolname IN ('other ''quoted''', 'taken')"
        assert emulator.sql(names) == [("taken",)]
        if method != "trust":
            with (
                pytest.raises(RuntimeError, match=r"dsn= cannot be used: .*password") as refused,
                Emulator(dsn=f"postgresql://boss:wrong@/postgres?host={home}"),
            ):
                pass
            assert "wrong" not in str(refused.value)
    finally:
        emulator.sql(f"COPY (VALUES ('local all all trust')) TO '{home}/data/pg_hba.conf'")
        emulator.sql("SELECT pg_reload_conf()")
        emulator.sql("DROP ROLE taken; DROP ROLE boss")
