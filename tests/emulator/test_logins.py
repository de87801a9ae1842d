"""The emulator's front end: which tokens log in, as which role, and the messages of refusals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import psycopg
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    WorkloadIdentityCredential,
)
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.emulator_clients import (
    DATABASE_SCOPE,
    MANAGEMENT_SCOPE,
    claims_of,
    connect,
    imds,
    one,
    raw_login,
    refusal,
)

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


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


def test_server_fails_as_configured(emulator: Emulator) -> None:
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
            connect(emulator, emulator.identity, connect_timeout=2 if kind == "silence" else 60)
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
    token = emulator.token(identity, lifetime=3)
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
