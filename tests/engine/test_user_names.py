"""Claims, and the user name that they give."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth import core, errors, identity
from azure_postgresql_auth._core import Login

from tests.support.credentials import SyncCredential, make_token
from tests.support.logins import SCOPE, USER, conninfo, until_expired

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


MIRID = "/subscriptions/1/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders"


class TestDecodeJwt:
    def test_claims_keep_their_types(self) -> None:
        claims = {
            "upn": "łukasz@contoso.com",
            "exp": 9999999999,
            "amr": ["pwd", "mfa"],
            "x": {"y": None},
            "f": 1.5,
            "b": True,
        }
        assert core.decode_jwt(make_token(**claims)) == claims

    @pytest.mark.parametrize("big", [2**63 - 1, 2**64 - 1, -(2**63)])
    def test_big_integers(self, big: int) -> None:
        assert core.decode_jwt(make_token(n=big)) == {"n": big}

    @pytest.mark.parametrize(
        ("token", "reason"),
        [
            ("", "no '.'"),
            ("opaque", "no '.'"),
            ("a.!.c", "base64url"),
            ("a.W10.c", "not an object"),
            ("a.e30\ud800.c", "lone surrogates, which are not text"),
            (None, "expected str"),
            (b"a.e30.c", "expected str"),
        ],
    )
    def test_malformed(self, token: Any, reason: str) -> None:
        with pytest.raises(errors.TokenDecodeError, match=r"^Invalid JWT token format: ") as raised:
            core.decode_jwt(token)
        assert reason in str(raised.value)

    def test_same_claims_as_a_reader_in_python(self) -> None:
        token = make_token(**{f"claim_{index}": "ü" * index for index in range(60)})
        import base64

        payload = token.split(".")[1]
        assert core.decode_jwt(token) == json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@pytest.mark.parametrize(
    ("mirid", "name"),
    [(MIRID, "orders"), (MIRID.upper(), "ORDERS"), (MIRID[:-6], None), ("no-slash", None), ("", None), (None, None)],
)
def test_parse_principal_name(mirid: str | None, name: str | None) -> None:
    assert core.parse_principal_name(mirid) == name


def test_scopes() -> None:
    assert core.AZURE_DB_FOR_POSTGRES_SCOPE == "https://ossrdbms-aad.database.windows.net/.default"
    assert core.AZURE_MANAGEMENT_SCOPE == "https://management.azure.com/.default"


class TestWho:
    @pytest.mark.parametrize(
        ("claims", "user"),
        [
            ({"upn": "ada@contoso.com"}, "ada@contoso.com"),
            ({"preferred_username": "ada@contoso.com"}, "ada@contoso.com"),
            ({"unique_name": "ada@contoso.com"}, "ada@contoso.com"),
            ({"xms_mirid": MIRID, "upn": "ada@contoso.com"}, "orders"),
            ({"xms_mirid": "/subscriptions/1/providers/Microsoft.Web/sites/shop"}, "shop"),
            ({"xms_mirid": "/subscriptions/1/providers/Microsoft.Web/sites/shop/slots/staging"}, "shop/slots/staging"),
        ],
    )
    def test_by_claims(self, credential_class: type[SyncCredential], claims: dict[str, str], user: str) -> None:
        credential = credential_class(make_token(**claims))
        assert conninfo(credential) == {"user": user, "password": credential.token}
        assert credential.calls == [SCOPE]

    def test_by_the_management_token_once(self, emulator: Emulator) -> None:
        emulator.add_identity("quiet", database_claims={"xms_mirid": None}, default=True)
        emulator.lifetime = 3
        credential = identity.ManagedIdentityCredential()
        for _ in range(3):
            assert core.get_entra_conninfo(credential)["user"] == "quiet"
        assert [request.resource for request in emulator.token_requests] == [
            "https://ossrdbms-aad.database.windows.net",
            "https://management.azure.com",
        ]
        until_expired(credential)
        emulator.reset_counters()
        assert core.get_entra_conninfo(credential)["user"] == "quiet"
        # A renewed token of the same identity needs no second look.
        assert [request.resource for request in emulator.token_requests] == [
            "https://ossrdbms-aad.database.windows.net"
        ]

    def test_a_guests_home_account_is_no_role(self, emulator: Emulator) -> None:
        guest = "pat_example.org#EXT#@contoso.onmicrosoft.com"
        of_another_tenant = {"unique_name": "pat@example.org", "idp": f"https://sts.windows.net/{uuid.uuid4()}/"}
        for claims, account in (({}, "live.com#pat@example.org"), (of_another_tenant, "pat@example.org")):
            pat = emulator.add_identity(guest, "guest", claims=claims, default=True)
            credential = identity.ManagedIdentityCredential()
            with pytest.raises(errors.UsernameExtractionError) as caught:
                core.get_entra_conninfo(credential)
            role = "pat_example.org#EXT#@TENANT.onmicrosoft.com"
            expected = f"names only the home account, {account}, while the role's name has the form {role}; pass user="
            assert expected in str(caught.value)
            emulator.remove(pat)

    def test_token_that_names_no_user(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(make_token(oid="1", appid="2"))
        with pytest.raises(errors.UsernameExtractionError, match=r"claims in the token: appid, oid\).*user="):
            conninfo(credential)
        assert credential.calls == [SCOPE, core.AZURE_MANAGEMENT_SCOPE]

    def test_management_refused(self, emulator: Emulator) -> None:
        principal = emulator.add_identity("app", "service-principal")
        credential = identity.ClientSecretCredential(
            emulator.tenant_id, principal.client_id, principal.client_secret or ""
        )
        assert core.get_entra_token(credential)
        emulator.fail(403, body="{}")
        with pytest.raises(errors.ScopePermissionError, match="management scope") as raised:
            core.get_entra_conninfo(credential)
        assert isinstance(raised.value.__cause__, errors.EntraConnectionValueError)

    def test_opaque_token(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class("opaque")
        with pytest.raises(errors.TokenDecodeError, match="Invalid JWT token format"):
            conninfo(credential)
        if credential_class is SyncCredential:
            assert core.get_entra_token(credential) == "opaque"

    def test_scope_of_the_cloud(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/")
        credential = SyncCredential(make_token(oid="1"))
        with pytest.raises(errors.UsernameExtractionError):
            core.get_entra_conninfo(credential)
        assert credential.calls == [
            "https://ossrdbms-aad.database.usgovcloudapi.net/.default",
            "https://management.usgovcloudapi.net/.default",
        ]
        assert core.get_entra_token(credential, "other/.default")
        assert credential.calls[2:] == ["other/.default"]


def test_a_login_hides_its_token() -> None:
    login = core.login(SyncCredential(USER))
    assert isinstance(login, Login)
    assert USER not in repr(login)
    assert "ada@contoso.com" in repr(login)
    import pickle

    with pytest.raises(TypeError, match="access token"):
        pickle.dumps(login)
