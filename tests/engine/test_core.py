"""Tokens and user names, from credentials of any origin."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import AsyncMock, MagicMock

import pytest
from azure_postgresql_auth import core, errors, identity
from azure_postgresql_auth._core import Login
from azure_postgresql_auth._engine import registry

from tests.support.credentials import AsyncCredential, SyncCredential, Token, make_token

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
USER = make_token(upn="ada@contoso.com")
MIRID = "/subscriptions/1/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders"


def conninfo(credential: Any, **keywords: Any) -> dict[str, str]:
    """What either kind of credential is asked with."""
    if isinstance(credential, AsyncCredential):
        return asyncio.run(core.get_entra_conninfo_async(credential, **keywords))
    return core.get_entra_conninfo(credential, **keywords)


def ask(credential: Any) -> str:
    """The token of either kind of credential."""
    if isinstance(credential, AsyncCredential):
        return asyncio.run(core.get_entra_token_async(credential))
    return core.get_entra_token(credential)


def until_expired(credential: identity.ManagedIdentityCredential) -> None:
    time.sleep(max(0.0, credential.get_token(SCOPE).expires_on - time.time()))


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
            ("a.W10.c", "no object"),
            ("a.e30\ud800.c", "no text"),
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
        emulator.lifetime = 1
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
            assert f"names only the home account, {account}. Pass user=" in str(caught.value)
            assert "which has the form pat_example.org#EXT#@TENANT.onmicrosoft.com" in str(caught.value)
            emulator.remove(pat)

    def test_nobody(self, credential_class: type[SyncCredential]) -> None:
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


class TestAnyCredential:
    @pytest.mark.parametrize("bad", ["text", 7, object(), SyncCredential, {"get_token": 1}])
    def test_none_at_all(self, bad: object) -> None:
        with pytest.raises(errors.CredentialValueError, match=r"^credential is required"):
            core.get_entra_conninfo(bad)  # type: ignore[arg-type]
        with pytest.raises(errors.CredentialValueError, match=r"^credential is required"):
            asyncio.run(core.get_entra_conninfo_async(bad))  # type: ignore[arg-type]

    def test_asynchronous_in_synchronous_code(self) -> None:
        credential = AsyncCredential(USER)
        for ask in (core.get_entra_conninfo, core.get_entra_token):
            with pytest.raises(
                errors.CredentialValueError, match=r"^credential is required to be synchronous here.*identity"
            ):
                ask(credential)  # type: ignore[arg-type]
        assert credential.calls == []

    def test_disguised_as_synchronous(self) -> None:
        class Disguised(AsyncCredential):
            def get_token(self, *scopes: str, **options: Any) -> Any:
                return super().get_token(*scopes, **options)

        with pytest.raises(errors.CredentialValueError, match="async def"):
            core.get_entra_token(Disguised(USER))

    def test_its_own_exception_comes_through(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER)
        credential.error = LookupError("not signed in")
        with pytest.raises(LookupError, match="not signed in"):
            conninfo(credential)
        credential.error = None
        assert conninfo(credential)["user"] == "ada@contoso.com"

    @pytest.mark.parametrize("answer", ["text", None, Token(7, 0), Token("t", None)])  # type: ignore[arg-type]
    def test_answers_that_are_no_token(self, answer: Any) -> None:
        credential = MagicMock()
        credential.get_token.return_value = answer
        with pytest.raises((AttributeError, TypeError)):
            core.get_entra_token(credential)

    def test_its_own_exception_has_no_text(self, credential_class: type[SyncCredential]) -> None:
        class WithoutTextError(Exception):
            def __str__(self) -> str:
                raise self

        class UnencodableError(Exception):
            def __str__(self) -> str:
                return "\ud800"

        for kind in (WithoutTextError, UnencodableError):
            credential = credential_class(USER)
            credential.error = kind()
            with pytest.raises(kind):
                ask(credential)
            assert len(credential.calls) == 1

    def test_expired_on_arrival(self, credential_class: type[SyncCredential]) -> None:
        with pytest.raises(errors.EntraConnectionValueError, match="already expired.*clock"):
            conninfo(credential_class(USER, lifetime=-1))

    def test_token_info_is_preferred(self) -> None:
        class Info(SyncCredential):
            def get_token_info(self, *scopes: str, options: Any = None) -> Token:
                assert options is None
                return super().get_token(*(f"info:{scope}" for scope in scopes))

        credential = Info(USER)
        core.get_entra_token(credential)
        assert credential.calls == [f"info:{SCOPE}"]

    def test_mocks(self) -> None:
        mock = MagicMock()
        mock.get_token.return_value = Token(USER, int(time.time() + 60))
        assert core.get_entra_conninfo(mock)["user"] == "ada@contoso.com"
        mock = MagicMock()
        mock.get_token = AsyncMock(return_value=Token(USER, int(time.time() + 60)))
        assert asyncio.run(core.get_entra_conninfo_async(mock))["user"] == "ada@contoso.com"

    def test_tokens_are_kept_per_object_and_no_longer_than_it(self) -> None:
        credential = SyncCredential(USER)
        for _ in range(5):
            core.get_entra_conninfo(credential)
        assert len(credential.calls) == 1
        other = SyncCredential(USER)
        core.get_entra_conninfo(other)
        assert len(other.calls) == 1
        gone = weakref.ref(credential)
        del credential
        gc.collect()
        assert gone() is None

    def test_equal_and_unhashable_objects_do_not_share(self) -> None:
        class Equal(SyncCredential):
            __hash__ = None  # type: ignore[assignment]

            def __eq__(self, other: object) -> bool:
                return True

        first, second = Equal(USER), Equal(make_token(upn="grace@contoso.com"))
        assert core.get_entra_conninfo(first)["user"] == "ada@contoso.com"
        assert core.get_entra_conninfo(second)["user"] == "grace@contoso.com"

    def test_slots(self) -> None:
        class Slots:
            __slots__ = ()

            def get_token(self, *_: str) -> Token:
                return Token(USER, int(time.time() + 60))

        assert core.get_entra_conninfo(Slots())["user"] == "ada@contoso.com"

    def test_objects_that_cannot_be_referenced_weakly(self) -> None:
        calls: list[object] = []

        class Named(NamedTuple):
            name: str

            def get_token(self, *_: str) -> Token:
                calls.append(self)
                return Token(USER, int(time.time() + 60))

        credential, equal = Named("ada"), Named("ada")
        for _ in range(5):
            assert core.get_entra_conninfo(credential)["user"] == "ada@contoso.com"
            assert asyncio.run(core.get_entra_token_async(credential)) == USER
        assert len(calls) == 1
        core.get_entra_token(equal)
        assert len(calls) == 2, "another object has its own tokens"
        assert core.token_stats(credential).requests == 1

    def test_of_objects_that_cannot_be_referenced_weakly_only_some_are_kept(self) -> None:
        class Owned:
            pass

        class Slots:
            __slots__ = ("owned",)

            owned: Owned

            def get_token(self, *_: str) -> Token:
                return Token(USER, int(time.time() + 60))

        def log_in() -> weakref.ref[Owned]:
            credential = Slots()
            credential.owned = Owned()
            core.get_entra_token(credential)
            return weakref.ref(credential.owned)

        before = len(registry.adopted_by_id)
        alive = [log_in() for _ in range(200)]
        gc.collect()
        assert 0 < sum(owned() is not None for owned in alive) < 100
        assert len(registry.adopted_by_id) - before < 100


class TestOneRequest:
    """However many ask at once, the credential is asked once. Counted, not timed."""

    def test_threads(self) -> None:
        credential = SyncCredential(USER, held=True)
        with ThreadPoolExecutor(100) as pool:
            asked = [pool.submit(core.get_entra_conninfo, credential) for _ in range(100)]
            credential.released.set()
            assert {future.result()["user"] for future in asked} == {"ada@contoso.com"}
        assert credential.calls == [SCOPE]

    def test_tasks(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, held=True)

        async def ask() -> None:
            asked = [asyncio.ensure_future(core.get_entra_conninfo_async(credential)) for _ in range(100)]
            await asyncio.sleep(0)
            credential.released.set()
            assert {info["user"] for info in await asyncio.gather(*asked)} == {"ada@contoso.com"}

        asyncio.run(ask())
        assert credential.calls == [SCOPE]

    def test_threads_and_tasks_and_loops_together(self, emulator: Emulator) -> None:
        emulator.latency = 0.3
        credential = identity.ManagedIdentityCredential()

        async def ask() -> list[dict[str, str]]:
            return list(await asyncio.gather(*(core.get_entra_conninfo_async(credential) for _ in range(20))))

        with ThreadPoolExecutor(40) as pool:
            loops = [pool.submit(asyncio.run, ask()) for _ in range(5)]
            threads = [pool.submit(core.get_entra_conninfo, credential) for _ in range(35)]
            found = [thread.result() for thread in threads] + [info for loop in loops for info in loop.result()]
        assert len(found) == 135
        assert len({info["password"] for info in found}) == 1
        assert len(emulator.token_requests) == 1

    def test_a_failure_is_shared(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, held=True)
        credential.error = LookupError("no")

        async def ask() -> list[Any]:
            asked = [asyncio.ensure_future(core.get_entra_token_async(credential)) for _ in range(10)]
            await asyncio.sleep(0)
            credential.released.set()
            return list(await asyncio.gather(*asked, return_exceptions=True))

        assert {type(error) for error in asyncio.run(ask())} == {LookupError}
        assert len(credential.calls) == 1

    def test_threads_that_are_the_first_of_all(self) -> None:
        for _ in range(20):
            credential = SyncCredential(USER)
            barrier = threading.Barrier(20)

            def ask(_: int, credential: SyncCredential = credential, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                core.get_entra_token(credential)

            with ThreadPoolExecutor(20) as pool:
                list(pool.map(ask, range(20)))
            assert len(credential.calls) == 1


class TestWaiting:
    def test_the_loop_runs_on(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, held=True)

        async def ask() -> None:
            asked = asyncio.ensure_future(core.get_entra_token_async(credential))
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert not asked.done()
            credential.released.set()
            assert await asked == USER

        asyncio.run(ask())

    def test_cancelling_one_leaves_the_others(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, held=True)

        async def ask() -> None:
            leader, *others = [asyncio.ensure_future(core.get_entra_token_async(credential)) for _ in range(5)]
            await asyncio.sleep(0.01)
            leader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leader
            credential.released.set()
            assert await asyncio.gather(*others) == [USER] * 4

        asyncio.run(ask())
        assert credential.calls == [SCOPE]

    def test_a_loop_that_ends_hands_the_fetch_to_another(self) -> None:
        credential = AsyncCredential(USER, held=True)

        async def begin() -> None:
            asked = asyncio.ensure_future(core.get_entra_token_async(credential))
            await asyncio.sleep(0.01)
            asked.cancel()

        asyncio.run(begin())
        credential.released.set()
        assert asyncio.run(core.get_entra_token_async(credential)) == USER
        assert len(credential.calls) == 2

    def test_a_loop_that_was_closed_under_its_fetch_does_not_block_others(self) -> None:
        credential = AsyncCredential(USER, held=True)
        loop = asyncio.new_event_loop()
        task = loop.create_task(core.get_entra_token_async(credential))
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        assert not task.done()
        credential.released.set()
        assert asyncio.run(core.get_entra_token_async(credential)) == USER
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    def test_a_loop_that_does_not_run_any_more_does_not_block_others(self) -> None:
        credential = AsyncCredential(USER, held=True)
        loop = asyncio.new_event_loop()
        task = loop.create_task(core.get_entra_token_async(credential))
        loop.run_until_complete(asyncio.sleep(0.01))
        credential.released.set()
        begun = time.monotonic()
        assert asyncio.run(core.get_entra_token_async(credential)) == USER
        assert time.monotonic() - begun < 10
        # What it fetched does no harm when it runs again.
        assert loop.run_until_complete(task) == USER
        loop.close()
        assert len(credential.calls) == 2

    def test_a_credential_that_cancels_itself_is_not_asked_for_ever(self) -> None:
        class Cancelling(AsyncCredential):
            async def get_token(self, *scopes: str, **_: Any) -> Token:  # type: ignore[override]
                self.calls.extend(scopes)
                raise asyncio.CancelledError

        credential = Cancelling(USER)
        with pytest.raises(errors.EntraConnectionValueError, match="given up"):
            asyncio.run(core.get_entra_token_async(credential))
        assert len(credential.calls) < 10

    def test_without_file_descriptors(self, monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
        from azure_postgresql_auth._engine import waiting

        monkeypatch.setattr(waiting, "_new_bell", lambda: None)
        assert core.get_entra_token(identity.ManagedIdentityCredential())
        assert asyncio.run(core.get_entra_token_async(identity.ManagedIdentityCredential()))
        assert len(emulator.token_requests) == 2

    def test_two_loops_tidy_up_after_a_third_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from azure_postgresql_auth._engine import waiting

        def is_closed() -> bool:
            # Between the look and the removal, another thread's loop removes it.
            waiting._doorbells.clear()
            return True

        closed: Any = SimpleNamespace(loop=SimpleNamespace(is_closed=is_closed))
        monkeypatch.setattr(waiting, "_doorbells", {0: closed})
        assert asyncio.run(core.get_entra_token_async(SyncCredential(USER))) == USER

    def test_a_cached_login_needs_no_loop(self) -> None:
        credential = SyncCredential(USER)
        core.get_entra_token(credential)
        with pytest.raises(StopIteration) as stopped:
            core.get_entra_token_async(credential).send(None)
        assert stopped.value.value == USER

    def test_loops_one_after_the_other(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, lifetime=1)
        for _ in range(3):
            assert asyncio.run(core.get_entra_token_async(credential)) == USER
        assert credential.calls

    def test_uvloop(self, credential_class: type[SyncCredential], emulator: Emulator) -> None:
        uvloop = pytest.importorskip("uvloop")
        credential = credential_class(USER)
        loop = uvloop.new_event_loop()
        try:
            assert loop.run_until_complete(core.get_entra_token_async(credential)) == USER
            native = identity.ManagedIdentityCredential()
            info = loop.run_until_complete(core.get_entra_conninfo_async(native))
            assert info["user"] == emulator.identity.role
        finally:
            loop.close()

    def test_nothing_stays_in_the_loop(self) -> None:
        async def ask() -> None:
            await asyncio.gather(*(core.get_entra_token_async(SyncCredential(USER)) for _ in range(10)))
            from azure_postgresql_auth._engine import waiting

            assert not waiting._doorbells

        asyncio.run(ask())

    def test_patience_ends_and_the_fetch_goes_on(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, held=True)

        async def ask() -> None:
            with pytest.raises(errors.EntraConnectionValueError, match=r"no token within 0\.05 s"):
                await core.login_async(credential, timeout=0.05)
            credential.released.set()
            assert (await core.login_async(credential)).password == USER

        asyncio.run(ask())
        if credential_class is SyncCredential:
            late = SyncCredential(USER, held=True)
            with pytest.raises(errors.EntraConnectionValueError, match=r"no token within 0\.05 s"):
                core.login(late, timeout=0.05)
            late.released.set()
            assert core.login(late).password == USER
            assert len(late.calls) == 1

    @pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("inf")])
    def test_odd_timeouts(self, timeout: float) -> None:
        with pytest.raises(ValueError, match="timeout="):
            core.login(SyncCredential(USER, held=True), timeout=timeout)

    def test_control_c_ends_the_wait(self) -> None:
        script = (
            "from azure_postgresql_auth import core, identity\n"
            "try: core.get_entra_token(identity.ManagedIdentityCredential())\n"
            "except KeyboardInterrupt: print('interrupted')\n"
        )
        with socket.create_server(("127.0.0.1", 0)) as silent:
            environment = {
                "IDENTITY_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}/",
                "IDENTITY_HEADER": "secret",
            }
            process = subprocess.Popen(
                [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
            )
            with process, silent.accept()[0]:
                begun = time.monotonic()
                process.send_signal(signal.SIGINT)
                printed, _ = process.communicate(timeout=20)
                assert time.monotonic() - begun < 5
        assert (printed, process.returncode) == ("interrupted\n", 0)


class TestRenewal:
    def test_a_token_past_its_middle_is_renewed_without_waiting(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, lifetime=2)

        async def ask() -> None:
            await core.get_entra_token_async(credential)
            credential.released.clear()
            await asyncio.sleep(1.3)
            credential.token = make_token(upn="renewed@contoso.com")
            assert await core.get_entra_token_async(credential) == USER
            await asyncio.sleep(0.01)
            assert len(credential.calls) == 2
            assert await core.get_entra_token_async(credential) == USER
            assert len(credential.calls) == 2
            credential.released.set()
            for _ in range(200):
                if await core.get_entra_token_async(credential) == credential.token:
                    return
                await asyncio.sleep(0.005)
            pytest.fail("never renewed")

        asyncio.run(ask())

    def test_an_expired_token_is_not_given_out(self, emulator: Emulator) -> None:
        emulator.lifetime = 1
        credential = identity.ManagedIdentityCredential()
        first = core.get_entra_token(credential)
        until_expired(credential)
        assert core.get_entra_token(credential) != first


class Wishing(SyncCredential):
    """A credential whose issuer wishes its tokens renewed at some time, in seconds from now."""

    wish = 0.0

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        assert options is None
        token, expires_on = super().get_token(*scopes)
        return SimpleNamespace(token=token, expires_on=expires_on, refresh_on=time.time() + self.wish)


class TestOddDates:
    def test_a_renewal_wished_for_after_the_end(self) -> None:
        credential = Wishing(USER, lifetime=1)
        credential.wish = 100
        core.get_entra_token(credential)
        time.sleep(1.1)
        credential.token = make_token(upn="renewed@contoso.com")
        assert core.get_entra_token(credential) == credential.token

    def test_a_renewal_wished_for_at_once(self) -> None:
        credential = Wishing(USER)
        credential.wish = -3600
        for _ in range(200):
            core.get_entra_token(credential)
        assert len(credential.calls) == 1

    @pytest.mark.parametrize("expires_on", [0, -1, sys.maxsize, 9.2e18, 1e300, float("inf"), float("nan"), -1.0, "0"])
    def test_no_date(self, expires_on: Any) -> None:
        """Azure-core sends such a token; here the token itself says when it ends, if it does."""
        soon = int(time.time()) + 600
        for token, life in ((USER, None), (make_token(upn="ada@contoso.com", exp=soon), 600)):
            credential = MagicMock()
            credential.get_token.return_value = Token(token, expires_on)
            for _ in range(2):
                assert core.get_entra_token(credential) == token
            credential.get_token.assert_called_once()
            (ends,) = core.token_stats(credential).expires_on.values()
            assert ends > time.time() + 50
            assert life is None or ends == soon

    @pytest.mark.parametrize("expires_on", ["soon", None, 10**400])
    def test_no_number(self, expires_on: Any) -> None:
        credential = MagicMock()
        credential.get_token.return_value = Token(USER, expires_on)
        with pytest.raises(TypeError, match="a number `expires_on`"):
            core.get_entra_token(credential)

    @pytest.mark.parametrize("refresh_on", [0, -1, float("nan"), float("inf"), 1e300, 10**400, "soon", object(), True])
    def test_a_bad_wish_costs_no_token(self, refresh_on: Any) -> None:
        credential = MagicMock()
        answer = SimpleNamespace(token=USER, expires_on=time.time() + 3600, refresh_on=refresh_on)
        credential.get_token_info.return_value = credential.get_token.return_value = answer
        for _ in range(10):
            assert core.get_entra_token(credential) == USER

    @pytest.mark.parametrize("timeout", [1e18, 9.3e18])
    def test_endless_patience(self, timeout: float) -> None:
        assert core.login(SyncCredential(USER), timeout=timeout).password == USER

    def test_empty_and_unprintable_tokens(self) -> None:
        with pytest.raises(errors.EntraConnectionValueError, match="empty token"):
            core.get_entra_token(SyncCredential(""))
        with pytest.raises(TypeError, match="no access token") as raised:
            core.get_entra_token(SyncCredential("secret\ud800"))
        assert "secret" not in repr(raised.value)
        assert raised.value.__cause__ is None


def test_a_login_hides_its_token() -> None:
    login = core.login(SyncCredential(USER))
    assert isinstance(login, Login)
    assert USER not in repr(login)
    assert "ada@contoso.com" in repr(login)
    import pickle

    with pytest.raises(TypeError, match="access token"):
        pickle.dumps(login)
