"""Credential objects of any origin: what is asked of them, and tokens with odd dates."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import weakref
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import AsyncMock, MagicMock

import pytest
from azure_postgresql_auth import core, errors
from azure_postgresql_auth._engine import registry

from tests.support.credentials import AsyncCredential, SyncCredential, Token, make_token
from tests.support.logins import SCOPE, USER, ask, conninfo


class TestAnyCredential:
    @pytest.mark.parametrize("bad", ["text", 7, object(), SyncCredential, {"get_token": 1}])
    def test_object_that_is_not_a_credential_is_refused(self, bad: object) -> None:
        with pytest.raises(errors.CredentialValueError, match=r"^credential is required"):
            core.get_entra_conninfo(bad)  # type: ignore[arg-type]
        with pytest.raises(errors.CredentialValueError, match=r"^credential is required"):
            asyncio.run(core.get_entra_conninfo_async(bad))  # type: ignore[arg-type]

    def test_asynchronous_in_synchronous_code(self) -> None:
        credential = AsyncCredential(USER)
        for way in (core.get_entra_conninfo, core.get_entra_token):
            with pytest.raises(
                errors.CredentialValueError, match=r"^credential is required to be synchronous here.*identity"
            ):
                way(credential)  # type: ignore[arg-type]
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

    def test_one_that_logs_in_with_itself(self) -> None:
        class Recursive(SyncCredential):
            def get_token(self, *scopes: str, **options: Any) -> Token:
                core.get_entra_conninfo(self, SCOPE)
                return super().get_token(*scopes, **options)

        class RecursiveLoop(SyncCredential):
            def get_token(self, *scopes: str, **_: Any) -> Any:
                return asyncio.run(core.get_entra_conninfo_async(self, SCOPE))

        class RecursiveTask(AsyncCredential):
            async def get_token(self, *scopes: str, **options: Any) -> Token:  # type: ignore[override]
                await asyncio.wait_for(core.get_entra_conninfo_async(self, SCOPE), 60)
                return await super().get_token(*scopes, **options)

        class Two(SyncCredential):
            other: Two

            def get_token(self, *scopes: str, **options: Any) -> Token:
                core.get_entra_token(self.other, SCOPE)
                return super().get_token(*scopes, **options)

        one, other = Two(USER), Two(USER)
        one.other, other.other = other, one
        for credential in (Recursive(USER), RecursiveLoop(USER), RecursiveTask(USER), one):
            begun = time.monotonic()
            with pytest.raises(errors.CredentialValueError, match=r"^credential is required .* a login with itself"):
                conninfo(credential, scope=SCOPE)
            assert time.monotonic() - begun < 10
            assert credential.calls == []

    def test_one_that_logs_in_for_another_scope(self) -> None:
        class Nesting(SyncCredential):
            def get_token(self, *scopes: str, **options: Any) -> Token:
                if scopes != ("other",):
                    core.get_entra_token(self, "other")
                return super().get_token(*scopes, **options)

        class NestingTask(AsyncCredential):
            async def get_token(self, *scopes: str, **options: Any) -> Token:  # type: ignore[override]
                if scopes != ("other",):
                    await core.get_entra_token_async(self, "other")
                return await super().get_token(*scopes, **options)

        for credential in (Nesting(USER), NestingTask(USER)):
            conninfo(credential, scope=SCOPE)
            assert credential.calls == ["other", SCOPE]

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

    def test_credential_with_slots(self) -> None:
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

        before = len(registry.entries)
        alive = [log_in() for _ in range(200)]
        gc.collect()
        assert 0 < sum(owned() is not None for owned in alive) < 100
        assert len(registry.entries) - before < 100


class Wishing(SyncCredential):
    """A credential whose issuer wishes its tokens renewed at some time, in seconds from now."""

    wish = 0.0

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        assert options is None
        token, expires_on = super().get_token(*scopes)
        return SimpleNamespace(token=token, expires_on=expires_on, refresh_on=time.time() + self.wish)


class TestOddDates:
    def test_refresh_on_after_the_expiry(self) -> None:
        credential = Wishing(USER, lifetime=1)
        credential.wish = 100
        core.get_entra_token(credential)
        time.sleep(1.1)
        credential.token = make_token(upn="renewed@contoso.com")
        assert core.get_entra_token(credential) == credential.token

    def test_refresh_on_in_the_past(self) -> None:
        credential = Wishing(USER)
        credential.wish = -3600
        for _ in range(200):
            core.get_entra_token(credential)
        assert len(credential.calls) == 1

    @pytest.mark.parametrize("expires_on", [0, -1, sys.maxsize, 9.2e18, 1e300, float("inf"), float("nan"), -1.0, "0"])
    def test_token_without_an_expiry(self, expires_on: Any) -> None:
        """azure-core accepts such a token; here its expiry is read from the token itself, if it has one."""
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
    def test_expiry_that_is_not_a_number(self, expires_on: Any) -> None:
        credential = MagicMock()
        credential.get_token.return_value = Token(USER, expires_on)
        with pytest.raises(TypeError, match="a number `expires_on`"):
            core.get_entra_token(credential)

    @pytest.mark.parametrize("refresh_on", [0, -1, float("nan"), float("inf"), 1e300, 10**400, "soon", object(), True])
    def test_invalid_refresh_on_does_not_lose_the_token(self, refresh_on: Any) -> None:
        credential = MagicMock()
        answer = SimpleNamespace(token=USER, expires_on=time.time() + 3600, refresh_on=refresh_on)
        credential.get_token_info.return_value = credential.get_token.return_value = answer
        for _ in range(10):
            assert core.get_entra_token(credential) == USER

    @pytest.mark.parametrize("timeout", [1e18, 9.3e18])
    def test_a_timeout_without_end(self, timeout: float) -> None:
        assert core.login(SyncCredential(USER), timeout=timeout).password == USER

    def test_a_mock_whose_token_was_not_set(self) -> None:
        with pytest.raises(TypeError, match="returned MagicMock, which is not an access token"):
            core.get_entra_token(MagicMock())

    def test_empty_and_unprintable_tokens(self) -> None:
        with pytest.raises(errors.EntraConnectionValueError, match="empty token"):
            core.get_entra_token(SyncCredential(""))
        with pytest.raises(TypeError, match="not an access token") as raised:
            core.get_entra_token(SyncCredential("secret\ud800"))
        assert "secret" not in repr(raised.value)
        assert raised.value.__cause__ is None
