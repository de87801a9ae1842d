"""What error trackers, debug pages and debuggers collect of a connection that fails never holds a token."""

from __future__ import annotations

import builtins
import copy
import io
import json
import pickle
import signal
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth import core
from azure_postgresql_auth._redacted import RedactedStr, without_frames
from rich.console import Console
from rich.traceback import Traceback

from tests.support.credentials import SyncCredential, make_token
from tests.support.platforms import needs_signals
from tests.support.servers import Server

with pytest.MonkeyPatch.context() as _without_eventlet:
    # It would be imported otherwise, and warn of itself at each fork of any later test.
    _without_eventlet.setitem(sys.modules, "eventlet", None)
    import sentry_sdk
    import sentry_sdk.transport

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.drivers import Driver

TOKEN = make_token(upn="ada@contoso.com", marker="x" * 300)
PART = TOKEN[len(TOKEN) // 2 :][:60]
"""Enough of it to know it by, should something shorten it."""


class Stop(BaseException):
    """What a time limit raises in the middle of a connection attempt (Celery, gevent, gunicorn)."""


class Silent(Server):
    """A server that accepts connections and never responds, until it is closed."""

    def __init__(self) -> None:
        self.connected = threading.Event()
        super().__init__(lambda _: self.connected.set())


class Repeating(Server):
    """A server that refuses every login, with a message that repeats the password."""

    def __init__(self, words: str) -> None:
        self._words = words
        super().__init__(self._refuse)

    def _refuse(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            while connection.recv(4096)[4:6] == b"\x04\xd2":  # a request of TLS or GSSAPI encryption
                connection.sendall(b"N")
            connection.sendall(b"R" + struct.pack("!II", 8, 3))  # AuthenticationCleartextPassword
            password = connection.recv(65536)[5:].rstrip(b"\0").decode()
            texts = {"M": f"{self._words}: {password}", "D": password, "H": f"not {password}"}
            fields = {"S": "FATAL", "V": "FATAL", "C": "28P01", **texts}
            message = b"".join(f"{name}{text}\0".encode() for name, text in fields.items()) + b"\0"
            connection.sendall(b"E" + struct.pack("!I", len(message) + 4) + message)
            connection.recv(1)


@pytest.fixture
def silent() -> Iterator[Silent]:
    with Silent() as server:
        yield server


class Kept(sentry_sdk.transport.Transport):
    """A transport that sends nothing."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.sent = ""

    def capture_envelope(self, envelope: Any) -> None:
        self.sent += envelope.serialize().decode()


def sent_to_sentry(error: BaseException) -> str:
    """Return the event that sentry-sdk would send for an error."""
    transport = Kept()
    options: Any = {"transport": transport, "default_integrations": False, "max_value_length": 9999}
    client = sentry_sdk.Client(dsn="http://key@127.0.0.1:9/1", **options)
    with sentry_sdk.new_scope() as scope:
        scope.set_client(client)
        scope.capture_exception(error)
    client.close(timeout=0)
    assert type(error).__name__ in transport.sent
    return transport.sent


def collected(error: BaseException) -> str:
    """All that the usual collectors would store of it."""
    from django.views.debug import ExceptionReporter

    triple = type(error), error, error.__traceback__
    page = ExceptionReporter(None, *triple).get_traceback_html()
    console = Console(file=io.StringIO(), width=500)
    console.print(Traceback.from_exception(*triple, show_locals=True, locals_max_string=2000, locals_max_length=100))
    carried = [sent_to_sentry(error), page, console.file.getvalue()]  # type: ignore[attr-defined]
    for link in chain(error):
        # The latter of psycopg's, with the parameters of the connection.
        carried += [repr(link.args), repr(getattr(link, "object", "")), repr(getattr(link, "pgconn", ""))]
    return "\n".join(carried)


def chain(error: BaseException) -> list[BaseException]:
    """Return an error with its causes and contexts."""
    found: list[BaseException] = []
    left: list[BaseException | None] = [error]
    while left:
        link = left.pop()
        if link is not None and link not in found:
            found.append(link)
            left += link.__cause__, link.__context__
    return found


def failure(driver: Driver, url: str, **keywords: Any) -> BaseException:
    """Return the error of a connection attempt, with its traceback."""
    try:
        driver.who(url, SyncCredential(TOKEN), **keywords)
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    pytest.fail("it connected")


@pytest.fixture(autouse=True)
def _django_is_set_up() -> None:
    from django.conf import settings

    if not settings.configured:
        settings.configure()


@needs_signals
@pytest.mark.parametrize("kind", [Stop, KeyboardInterrupt, SystemExit])
def test_an_interrupted_connection(driver: Driver, silent: Silent, kind: type[BaseException]) -> None:
    def interrupt(*_: object) -> None:
        raise kind

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.main_thread().ident or 0

    def watch() -> None:
        if silent.connected.wait(60):
            signal.pthread_kill(main, signal.SIGUSR1)
            # psycopg2 waits in C, and hears of a signal when that ends.
            silent.close()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        error = failure(driver, f"postgresql://ada@localhost:{silent.port}/x")
    finally:
        watching.join()
        signal.signal(signal.SIGUSR1, before)
    assert silent.connected.is_set()
    text = collected(error)
    assert PART not in text
    assert "****" in text or "SyncCredential" in text, "the frames of ours are there"


def test_a_refused_login(driver: Driver, emulator: Emulator) -> None:
    error = failure(driver, driver.on(emulator, user="ada"))
    assert isinstance(error, Exception)
    assert PART not in collected(error)


@pytest.mark.parametrize("words", ['password authentication failed for user "ada"', "out of order"])
def test_a_server_that_repeats_what_it_is_sent(driver: Driver, words: str, caplog: pytest.LogCaptureFixture) -> None:
    if driver.name == "psycopg2-async":
        pytest.skip("psycopg2 raises it from the program's own calls")
    with caplog.at_level("DEBUG", "azure_postgresql_auth"), Repeating(words) as server:
        error = failure(driver, f"postgresql://ada@localhost:{server.port}/x")
    assert words in "".join(f"{link} {link.args}" for link in chain(error))
    carried = [f"{link}\n{link.args}\n{vars(link)}" for link in chain(error)]
    assert PART not in "\n".join([collected(error), *carried])
    assert PART not in caplog.text


def test_every_error_that_led_to_it_loses_its_frames() -> None:
    def with_another_cause(_: OSError) -> None:
        raise ValueError from KeyError()

    def as_its_own_cause(first: OSError) -> None:
        raise first from first

    def as_group(first: OSError) -> None:
        group = getattr(builtins, "ExceptionGroup", None)  # since Python 3.11
        if group is not None:
            raise group("of two hosts", [first]) from None  # noqa: TRY003 - a test

    for raise_last in (with_another_cause, as_its_own_cause, as_group):
        first = OSError("unreachable")
        first.__notes__ = [f"password={TOKEN}"]  # type: ignore[attr-defined]
        error: Exception = first
        try:
            try:
                raise first
            except OSError:
                raise_last(first)
        except Exception as last:  # noqa: BLE001 - as error trackers do
            error = last
        without_frames(error, TOKEN)
        assert [link.__traceback__ for link in (first, *chain(error))] == [None] * (len(chain(error)) + 1)
        assert first.__notes__ == ["password=****"]  # type: ignore[attr-defined]


def test_an_error_that_the_caller_handles_stays_as_it_is(driver: Driver) -> None:
    mine = LookupError()
    try:
        raise mine
    except LookupError:
        before = mine.__traceback__
        error = failure(driver, "postgresql://ada@localhost:9/x")
    assert before is not None
    assert mine in chain(error)
    assert mine.__traceback__ is before


@pytest.mark.parametrize("character", ["\udc80", "\0"])
def test_a_parameter_that_cannot_be_sent(driver: Driver, character: str) -> None:
    keyword = {True: "dbname", False: "database"}[driver.libpq and "sqlalchemy" not in driver.name]
    if "sqlalchemy+psycopg" in driver.name:
        keyword = "dbname"
    error = failure(driver, "postgresql://ada@localhost:9/x", **{keyword: f"a{character}b"})
    text = collected(error)
    assert PART not in text


def test_a_token_is_a_string_that_does_not_show(emulator: Emulator) -> None:
    conninfo = core.get_entra_conninfo(SyncCredential(TOKEN))
    assert conninfo == {"user": "ada@contoso.com", "password": TOKEN}
    assert TOKEN not in repr(conninfo)
    assert PART not in repr(conninfo["password"][300:])
    assert f"{conninfo['password']}" == TOKEN
    assert json.loads(json.dumps(conninfo))["password"] == TOKEN
    for copied in (copy.deepcopy(conninfo), pickle.loads(pickle.dumps(conninfo))):  # noqa: S301 - ours
        assert copied == conninfo
        assert TOKEN not in repr(copied)
    assert type(core.get_entra_token(SyncCredential(TOKEN))) is str


def test_what_an_error_carries_is_removed() -> None:
    text = f"host=x password={TOKEN}"
    cause = UnicodeEncodeError("utf-8", text + "\udc80", len(text), len(text) + 1, "surrogates not allowed")
    error = ValueError(f"could not parse {text}", 7)
    error.__cause__ = cause
    shown = without_frames(error, RedactedStr(TOKEN))
    assert shown is error
    assert str(error.args) == "('could not parse host=x password=****', 7)"
    assert TOKEN not in cause.object + repr(cause.args)
    assert "\\udc80" in str(cause)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's script stands for psql")
def test_dbshell_without_psql(emulator: Emulator, database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(FileNotFoundError) as raised:
        database(OPTIONS={"credential": SyncCredential(TOKEN)}).client.runshell([])
    assert PART not in collected(raised.value)
