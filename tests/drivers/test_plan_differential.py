"""The connection plan says what the driver does: settings drawn at random, and the drivers' own reading of them.

`PLAN_DRAWS` sets how many are drawn for each driver, `PLAN_SEED` which.
"""

from __future__ import annotations

import os
import random
import socket
import ssl
from getpass import getuser
from typing import TYPE_CHECKING, Any, Callable

import pg8000.core  # type: ignore[import-untyped]
import pytest
import trustme
from azure_postgresql_auth import asyncpg as entra_asyncpg
from azure_postgresql_auth import psycopg2 as entra_psycopg2
from azure_postgresql_auth import psycopg3 as entra_psycopg3
from azure_postgresql_auth import tls
from azure_postgresql_auth._engine.connect import NO_OPTIONS
from azure_postgresql_auth.errors import InsecureTransportError
from azure_postgresql_auth.sqlalchemy import _engine_login
from psycopg import ProgrammingError
from psycopg2 import ProgrammingError as ProgrammingError2
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from tests.support import connection_settings
from tests.support.connection_settings import (
    DriversOwnError,
    Resolved,
    Settings,
    by_asyncpg,
    by_psycopg2,
    by_psycopg3,
    places_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth._core import ConnectionPlan

DRAWS = int(os.environ.get("PLAN_DRAWS", "700"))
SEED = int(os.environ.get("PLAN_SEED", "13"))
REFUSALS = (DriversOwnError, ProgrammingError, ProgrammingError2, SQLAlchemyError, ValueError, TypeError)
SAFE = ("require", "verify-ca", "verify-full")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("services")
    trustme.CA().cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder


class Tally:
    """What became of the draws."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.faults: list[str] = []

    def count(self, outcome: str) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + 1

    def expect(self, what: str, planned: object, real: object, settings: object) -> None:
        if planned != real:
            self.faults.append(f"{what}: planned {planned!r}, really {real!r}\n    {settings}")

    def verdict(self) -> None:
        print(f"seed {SEED}: {self.counts}")  # noqa: T201 - to draw the same again
        assert not self.faults, f"seed {SEED}, {len(self.faults)} faults:\n" + "\n".join(self.faults[:12])
        assert self.counts.get("compared", 0) > DRAWS / 8, self.counts


def drawn(draw: Callable[[random.Random], Settings], root: Path, check: Callable[[Settings, Tally], None]) -> None:
    source, tally = random.Random(SEED), Tally()  # noqa: S311 - the same ones each time
    for _ in range(DRAWS):
        settings = draw(source)
        with connection_settings.in_force(settings, root) as there:
            try:
                check(there, tally)
            except (
                DriversOwnError,
                ProgrammingError,
                ProgrammingError2,
                SQLAlchemyError,
                ValueError,
                TypeError,
            ) as error:
                tally.count(f"refused by {type(error).__name__}")
            except Exception as error:  # noqa: BLE001 - a fault, too
                tally.faults.append(f"{error!r}\n    {there}")
    tally.verdict()


def planned_places(plan: ConnectionPlan) -> tuple[tuple[str, str, str], ...] | None:
    """None where the plan does not claim to know them."""
    return None if plan.target is None else places_of(*plan.target)


def check_libpq(  # noqa: C901, PLR0912 - one comparison after the other
    module: Any, ask: Callable[[str, dict[str, Any]], Resolved], conninfo: str, keywords: dict[str, Any], tally: Tally
) -> None:
    said = {**module.parsed(conninfo), **{name: value for name, value in keywords.items() if value is not None}}
    if said.get("sslmode") == "" or said.get("user") == "":
        # libpq rejects the first; it replaces the second by the system's user, the plan by none.
        return
    shown = (conninfo, keywords, {name: value for name, value in os.environ.items() if name.startswith("PG")})
    try:
        plan = module.plan_for(module.parsed(conninfo), dict(keywords), NO_OPTIONS)
    except InsecureTransportError:
        own = ask(conninfo, keywords)
        tally.count("insecure")
        if own.sslmode in SAFE and own.gssencmode != "require":
            tally.faults.append(f"refused without need: {own}\n    {shown}")
        return
    told = plan.arguments()
    try:
        real = ask(conninfo, told)
    except DriversOwnError:
        # And so it is without us.
        with pytest.raises(DriversOwnError):
            ask(conninfo, keywords)
        raise
    tally.count("compared")
    planned = planned_places(plan)
    if planned is not None and not plan.has_unresolved_service:
        tally.expect("place", planned, real.places, shown)
    if plan.tls is not None:
        sslmode, roots = plan.tls
        tally.expect("sslmode", sslmode, real.sslmode, shown)
        if roots is not None:
            tally.expect("roots", roots, real.sslrootcert, shown)
        tally.expect("gssencmode", "disable", real.gssencmode, shown)
    if not plan.has_unresolved_service:
        tally.expect("user", plan.user or getuser(), real.user, shown)
    try:
        own = ask(conninfo, keywords)
    except DriversOwnError:
        tally.count("mended")
        return
    if planned is not None:
        if plan.has_unresolved_service:
            # It may set a port; only the caller's settings are known.
            assert {host for host, _, _ in planned} <= {host for host, _, _ in own.places}
        else:
            tally.expect("place without us", planned, own.places, shown)
            tally.expect("user without us", plan.user or getuser(), own.user, shown)
    if plan.tls is None and real.sslmode != own.sslmode:
        tally.faults.append(f"sslmode of this machine: {own.sslmode} became {real.sslmode}\n    {shown}")


@pytest.mark.parametrize(
    ("module", "ask"), [(entra_psycopg3, by_psycopg3), (entra_psycopg2, by_psycopg2)], ids=["psycopg3", "psycopg2"]
)
def test_libpq(module: Any, ask: Any, root: Path) -> None:
    drawn(connection_settings.libpq, root, lambda said, tally: check_libpq(module, ask, said.url, said.keywords, tally))


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_sqlalchemy_on_libpq(driver: str, root: Path) -> None:
    module, ask = {
        "psycopg": (entra_psycopg3, by_psycopg3),
        "psycopg2": (entra_psycopg2, by_psycopg2),
    }[driver]

    def check(said: Settings, tally: Tally) -> None:
        url = make_url(f"postgresql+{driver}://{said.url}")
        arguments, parameters = url.get_dialect()().create_connect_args(url)
        check_libpq(module, ask, "".join(arguments), {**parameters, **said.keywords}, tally)

    drawn(connection_settings.sqlalchemy, root, check)


def check_asyncpg(dsn: str | None, keywords: dict[str, Any], plan: ConnectionPlan, told: Any, tally: Tally) -> None:
    shown = (dsn, keywords, {name: value for name, value in os.environ.items() if name.startswith("PG")})
    real, context = by_asyncpg(*told)
    tally.count("compared")
    planned = planned_places(plan)
    if planned is not None:
        tally.expect("place", planned, real.places, shown)
    if plan.tls is not None:
        sslmode, roots = plan.tls
        expected = (sslmode != "require", sslmode == "verify-full")
        if real.sslmode not in SAFE:
            tally.faults.append(f"sslmode: planned {sslmode}, really {real.sslmode}\n    {shown}")
        elif sslmode != "require":
            verifies = (context.verify_mode is ssl.CERT_REQUIRED, context.check_hostname)
            tally.expect("what is verified", expected, verifies, shown)
        if roots == tls.AZURE_ROOTS and sslmode != "require":
            tally.expect("roots", 3, len(context.get_ca_certs()), shown)
    try:
        own, _ = by_asyncpg(dsn, keywords)
    except DriversOwnError:
        tally.count("mended")
        return
    if planned is not None:
        tally.expect("place without us", planned, own.places, shown)
    # An empty user is nobody here; asyncpg sends it.
    if plan.user is not None and keywords.get("user") != "":
        tally.expect("user without us", plan.user, own.user, shown)
    if plan.tls is None and own.sslmode != real.sslmode and "ssl=" not in (dsn or ""):
        tally.faults.append(f"sslmode of this machine: {own.sslmode} became {real.sslmode}\n    {shown}")


def test_asyncpg(root: Path) -> None:
    def check(said: Settings, tally: Tally) -> None:
        keywords = dict(said.keywords)
        try:
            plan = entra_asyncpg.plan_for(said.url or None, keywords, NO_OPTIONS)
        except InsecureTransportError:
            tally.count("insecure")
            own, _ = by_asyncpg(said.url, said.keywords)
            if own.sslmode in SAFE and "ssl=" not in said.url:
                tally.faults.append(f"refused without need: {own}\n    {said}")
            return
        dsn = entra_asyncpg.read_url(said.url).dsn if said.url else None
        check_asyncpg(said.url, said.keywords, plan, (dsn, plan.arguments()), tally)

    drawn(connection_settings.asyncpg, root, check)


def test_sqlalchemy_on_asyncpg(root: Path) -> None:
    def check(said: Settings, tally: Tally) -> None:
        url = make_url(f"postgresql+asyncpg://{said.url}")
        dialect = url.get_dialect()()
        arguments, parameters = dialect.create_connect_args(url)
        parameters = {**parameters, **said.keywords}
        own = {name: value for name, value in parameters.items() if not name.startswith("ssl")}
        try:
            plan = _engine_login.plan_for(dialect, list(arguments), parameters, NO_OPTIONS)
        except InsecureTransportError:
            tally.count("insecure")
            return
        told = plan.arguments()
        dsn = told.pop("dsn", None)
        check_asyncpg(dsn, own, plan, (dsn, told), tally)

    drawn(connection_settings.sqlalchemy, root, check)


def test_sqlalchemy_on_pg8000(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def record(address: Any, *_: Any) -> Any:
        asked.append(address)
        raise OSError

    monkeypatch.setattr(pg8000.core.socket, "create_connection", record)

    def place(arguments: dict[str, Any]) -> Any:
        asked.clear()
        names = ("unix_sock", "sock", "host", "port", "timeout", "source_address", "tcp_keepalive", "ssl_context")
        same = {name: arguments.get(name) for name in names}
        with pytest.raises(pg8000.core.InterfaceError):
            # Only the address, without a login, for which pg8000 has no public function.
            pg8000.core._make_socket(  # noqa: SLF001
                same["unix_sock"], None, arguments.get("host", "localhost"), arguments.get("port", 5432), None, None,
                True, same["ssl_context"],
            )  # fmt: skip
        return asked[-1]

    def check(said: Settings, tally: Tally) -> None:
        url = make_url(f"postgresql+pg8000://{said.url}")
        dialect = url.get_dialect()()
        arguments, parameters = dialect.create_connect_args(url)
        parameters = {**parameters, **said.keywords}
        own = place(parameters)
        try:
            plan = _engine_login.plan_for(dialect, list(arguments), parameters, NO_OPTIONS)
        except InsecureTransportError:
            tally.count("insecure")
            return
        told = plan.arguments()
        real = place(told)
        tally.count("compared")
        tally.expect("place without us", own, real, said)
        assert plan.target is not None
        hosts, _, _ = plan.target
        tally.expect("host", hosts or ("localhost",), (real[0] or "localhost",), said)
        context: Any = told.get("ssl_context")
        if plan.tls is not None:
            sslmode, _ = plan.tls
            if sslmode == "require":
                assert context not in {None, False}
            else:
                verifies = (context.verify_mode is ssl.CERT_REQUIRED, context.check_hostname)
                tally.expect("what is verified", (True, sslmode == "verify-full"), verifies, said)

    assert socket.create_connection is record
    drawn(connection_settings.sqlalchemy, root, check)
