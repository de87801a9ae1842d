"""What the identity service can do wrong, at each point of a token's life: a program notices when that is over.

Each row of `FAULTS` goes through the life of tokens of two seconds: none is there yet, it is due for renewal, it has
expired, and then the service is well again; each by a synchronous and by an asynchronous login.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import pytest
import trustme
from azure_postgresql_auth import core, errors, identity
from azure_postgresql_auth.psycopg3 import EntraConnection

from tests.support.credentials import AsyncCredential, SyncCredential

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from azure_postgresql_auth._core import Login
    from azure_postgresql_auth.emulator import Emulator

LIFE = 2.0
"""Seconds that tokens live. A busy machine misses the moments of so short a life: then they live longer."""
LONGER = (1, 2, 4, 8)
TIMEOUT = 1.0
"""Seconds that logins wait here where there is no token."""
LATE = 1.5
"""Seconds more that may pass until a login returns."""
TRIES = 5
"""A busy machine delays what a service says, and so a login is late that is not if it is tried again."""
STORY = r"token expired at \S+Z.*, and renewing it has failed since \S+Z"
NOT_YET = "has not answered yet"
TIMED_OUT = "no token within"


class Fault(NamedTuple):
    """A fault: how to cause it, and the text of its errors."""

    name: str
    says: str
    settings: dict[str, Any] | None = None
    """For `Emulator.fail`."""
    elsewhere: Callable[[Emulator, pytest.MonkeyPatch], None] | None = None
    """Where it is not the emulator that fails."""
    secret: bool = False
    """Of Entra's endpoint and a client secret, else of App Service's and a managed identity."""
    flights: int = 3
    """At most so many renewals are begun in the background while a token that lives for `LIFE` is good."""


def expired(emulator: Emulator) -> str:
    """Return the response of a service that serves an expired token from its cache."""
    return json.dumps(
        {
            "access_token": emulator.token(emulator.identity, lifetime=-60),
            "expires_on": str(int(time.time()) - 60),
            "resource": "https://ossrdbms-aad.database.windows.net",
            "token_type": "Bearer",
        }
    )


def no_such_host(_: Emulator, patch: pytest.MonkeyPatch) -> None:
    # A label of more than 63 letters, which no resolver sends to anybody (RFC 1035, 2.3.4). Plain http: TLS would
    # refuse it before the resolver does.
    patch.setenv("IDENTITY_ENDPOINT", f"http://{'entra' * 13}.invalid/msi/token")


def nobody_listens(_: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:9")


def other_authority(emulator: Emulator, patch: pytest.MonkeyPatch) -> None:
    others = trustme.CA().cert_pem.bytes().decode()
    path = f"{emulator.ca_file}.other"
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - the emulator has its paths as text
        file.write(others)
    patch.setenv("SSL_CERT_FILE", path)


FAULTS = [
    Fault("500", "answered 500", {"status": 500}),
    Fault("503", "answered 503", {"status": 503}),
    Fault("429", "answered 429", {"status": 429}),
    Fault("429 for a second", "answered 429", {"status": 429, "headers": {"Retry-After": "1"}}),
    Fault("429 for some seconds", "retry after 8 s", {"status": 429, "headers": {"Retry-After": "8"}}, flights=1),
    Fault("reset", "failed: ", {"reset": True}),
    Fault("hang", NOT_YET, {"hang": True}, flights=1),
    Fault("truncated JSON", "end of file", {"truncate": True}),
    Fault("JSON of other types", "access_token", {"status": 200, "body": '{"access_token": 7, "expires_on": []}'}),
    Fault("a JSON list", "no access_token", {"status": 200, "body": "[1]"}),
    Fault("HTML", "page of HTML", {"status": 200, "body": "<html><body>Sign in to the guest network</body></html>"}),
    Fault("a huge body", "longer than 1 MiB", {"status": 200, "body": "{" + " " * (2 << 20)}),
    Fault("expired token", "already expired", {"status": 200, "body": expired}),
    Fault("no such host", "(?i)name|lookup|resolve|host not found|no such host", elsewhere=no_such_host),
    Fault("nobody listens", "refused", elsewhere=nobody_listens, secret=True),
    Fault(
        "wrong certificate",
        r"the request for a token failed \(.*(?i:certificate|issuer)",
        elsewhere=other_authority,
        secret=True,
    ),
]


class Life:
    """A credential from its first token on, and what it cost."""

    def __init__(self, credential: Any, login: Callable[..., Login], seconds: float | None) -> None:
        self.credential = credential
        self._login = login
        self._seconds = seconds
        self.token = ""
        self.asked = self.begun = 0.0
        """Its first token was issued between these."""
        self.failed = 0
        """The number of its logins that obtained no token."""
        self.timed_out = False
        """Whether the last one of these left the fetch under way."""

    def login(self, seconds: float) -> str:
        return self._login(self.credential, user_known=True, timeout=seconds).password

    def first(self) -> None:
        self.asked = time.time()
        self.token = self.login(20)
        self.begun = time.time()

    @property
    def stats(self) -> core.TokenStats:
        return core.token_stats(self.credential)

    def after(self, share: float) -> float:
        """When so much of its life is over, at the latest."""
        return self._at(self.begun, share)

    def before(self, share: float) -> float:
        """When so much of its life is over, at the earliest."""
        return self._at(self.asked, share)

    def _at(self, begun: float, share: float) -> float:
        (expires_on,) = self.stats.expires_on.values()
        return begun + (self._seconds or expires_on - begun) * share

    def fails(self, says: str) -> str:
        """Return the error of a login that obtains no token, and check that it comes in time and says this."""
        for _ in range(TRIES):
            self.failed += 1
            begun = time.monotonic()
            # The exception of a credential object is raised unchanged.
            with pytest.raises((errors.EntraConnectionValueError, LookupError)) as raised:
                self.login(TIMEOUT)
            took = time.monotonic() - begun
            said = "\n".join([repr(raised.value), *getattr(raised.value, "__notes__", ())])
            self.timed_out = TIMED_OUT in said
            if took < TIMEOUT + LATE and (re.search(says, said) or not self.timed_out):
                break
        assert took < TIMEOUT + LATE
        assert re.search(says, said), said
        return said


class Loop:
    """An event loop in a thread that keeps running, so that its background fetches can complete."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def login(self, *arguments: Any, **keywords: Any) -> Login:
        login: Login = self.run(core.login_async(*arguments, **keywords))
        return login

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.stop()


def both(loop: Loop) -> dict[str, Callable[..., Login]]:
    return {"sync": core.login, "async": loop.login}


def together(*calls: Callable[[], Any]) -> list[Any]:
    """All at once, to save time."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


class World(NamedTuple):
    """Where a row is lived through."""

    make: Callable[[str, float], object]
    """A new credential for this kind of login, whose tokens live so many times `seconds`."""
    logins: dict[str, Callable[..., Login]]
    begin: Callable[[], None]
    heal: Callable[[], None]
    """Ends the fault; tokens are good for an hour from then on."""
    seconds: float | None = LIFE
    """What tokens live; None: until a full second."""


def seen_while_good(lives: list[Life]) -> int:
    """Return the number of consecutive logins that did not wait; 0 or 1 if the machine was too busy to measure."""
    seen = 0
    while time.time() < min(life.before(0.85) for life in lives):
        try:
            tokens = [life.login(0.0) for life in lives]
        except (errors.EntraConnectionValueError, LookupError):
            if time.time() < min(life.before(0.88) for life in lives):
                raise
            # Not sent any more: the machine stood still since the look at the clock.
            return 0
        assert tokens == [life.token for life in lives]
        seen += 1
        time.sleep(0.01)
    return seen


def through_its_life(world: World, fault: Fault) -> int:
    """Check what logins do; return how many fetches there are at most while the fault lasts."""
    for longer in LONGER:
        seconds = world.seconds and world.seconds * longer
        new, lives = (
            [Life(world.make(kind, longer), login, seconds) for kind, login in world.logins.items()] for _ in range(2)
        )
        together(*(life.first for life in lives))
        world.begin()

        # Without a token: an error in time, with the cause.
        for said in together(*(partial(life.fails, fault.says) for life in new)):
            assert "expired at" not in said

        # Due for renewal (from half its life to six tenths), and good: logins do not wait at all.
        sleep_until(max(life.after(0.62) for life in lives))
        before = [life.stats for life in lives]
        seen = seen_while_good(lives)
        if seen > 1:
            break
        # The machine was too busy, and the moment has passed: once more.
        world.heal()
    else:
        pytest.fail("the moment was missed each time")
    for life, old in zip(lives, before):
        assert life.stats.hits - old.hits >= seen
        assert 1 <= life.stats.requests - old.requests <= fault.flights * longer

    # With an expired token: an error in time, with the cause and the time of the first failure.
    sleep_until(max(life.after(0.92) for life in lives))
    for said in together(*(partial(life.fails, fault.says) for life in lives)):
        assert re.search(STORY, said), said

    # After the first success, later logins use the cache, and no failure is remembered.
    world.heal()
    for life in lives + new:
        if fault.elsewhere is not None or life.timed_out:
            # A fetch that is under way goes where it was sent, or has met the fault.
            with contextlib.suppress(errors.EntraConnectionValueError):
                life.login(20)
        token = life.login(20)
        assert token != life.token
        requests = life.stats.requests
        assert [life.login(0.0) for _ in range(10)] == [token] * 10
        assert life.stats.requests == requests
    # Those of logins without a token, and the renewals of two tokens.
    return sum(life.failed for life in lives + new) + 2 * fault.flights * longer


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_service_fails(fault: Fault, emulator: Emulator, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    principal = emulator.add_identity("app", "service-principal")
    asked = []

    def make(_: str, longer: float) -> object:
        emulator.lifetime = (LIFE if fault.secret else 1.6) * longer
        if not fault.secret:
            return identity.ManagedIdentityCredential()
        return identity.ClientSecretCredential(emulator.tenant_id, principal.client_id, principal.client_secret or "")

    def begin() -> None:
        emulator.reset_counters()
        if fault.elsewhere is not None:
            fault.elsewhere(emulator, monkeypatch)
        else:
            settings = dict(fault.settings or {})
            if callable(settings.get("body")):
                settings["body"] = settings["body"](emulator)
            emulator.fail(**settings)

    def heal() -> None:
        asked.append(len(emulator.token_requests))
        emulator.heal()
        emulator.lifetime = 3600
        for name, value in emulator.env.items():
            monkeypatch.setenv(name, value)

    fetches = through_its_life(World(make, both(loop), begin, heal, LIFE if fault.secret else None), fault)
    # azure_core asks four times for a fetch.
    assert asked[-1] <= 4 * fetches if fault.elsewhere is None else asked[-1] == 0


class TestThrottling:
    """Where there is no token, a service that wants to be asked less is."""

    @pytest.mark.parametrize("headers", [{"Retry-After": "60"}, {}], ids=["for a minute", "for no stated time"])
    def test_it_is_not_asked_again_at_once(self, emulator: Emulator, headers: dict[str, str]) -> None:
        emulator.fail(429, headers=headers)
        credential = identity.ManagedIdentityCredential()
        with pytest.raises(errors.EntraConnectionValueError) as raised:
            core.login(credential, timeout=10)
        requests = len(emulator.token_requests)
        for _ in range(30):
            with pytest.raises(errors.EntraConnectionValueError) as again:
                core.login(credential, timeout=0.2)
            assert str(again.value) == str(raised.value)
        assert len(emulator.token_requests) == requests

    def test_long_timeout_outlasts_throttling(self, emulator: Emulator, loop: Loop) -> None:
        emulator.fail(429, headers={"Retry-After": "6"}, times=1)
        credential = identity.ManagedIdentityCredential()
        begun = time.monotonic()
        with pytest.raises(errors.EntraConnectionValueError, match="429"):
            core.login(credential, timeout=3)
        passwords = together(
            *(lambda login=login: login(credential, timeout=20).password for login in both(loop).values())
        )
        assert 6 <= time.monotonic() - begun < 12
        assert len(set(passwords)) == 1
        assert [request.status for request in emulator.token_requests] == [429, 200]

    def test_a_connection_pool_outlives_it(self, emulator: Emulator) -> None:
        """By way of a driver, with its own time limit."""
        emulator.fail(429, headers={"Retry-After": "6"}, times=1)
        credential = identity.ManagedIdentityCredential()
        with pytest.raises(errors.EntraConnectionValueError, match="429"):
            EntraConnection.connect(emulator.dsn, credential=credential, connect_timeout=2)
        EntraConnection.connect(emulator.dsn, credential=credential, connect_timeout=20).close()
        assert [request.status for request in emulator.token_requests] == [429, 200]


@pytest.mark.parametrize(
    "fault",
    [Fault("raises", "LookupError.*not signed in"), Fault("hangs", NOT_YET, flights=1)],
    ids=lambda fault: fault.name,
)
def test_failing_credential_object(fault: Fault, emulator: Emulator, loop: Loop) -> None:
    made: list[SyncCredential] = []

    def make(kind: str, longer: float) -> object:
        made.append((AsyncCredential if kind == "async" else SyncCredential)("a.e30.c", lifetime=LIFE * longer))
        return made[-1]

    def begin() -> None:
        for credential in made:
            if fault.name == "raises":
                credential.error = LookupError("not signed in")
            else:
                credential.released.clear()

    def heal() -> None:
        for index, credential in enumerate(made):
            credential.token = f"a.e30.{index}"
            credential.lifetime = 3600
            credential.error = None
            credential.released.set()

    through_its_life(World(make, both(loop), begin, heal), fault)
