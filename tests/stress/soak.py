"""Pools of three drivers in a storm: tokens of seconds, a failing identity service, killed backends, forks.

    python -m tests.stress.soak [SECONDS]

Prints what happened as JSON and judges it: no login may fail while its token is good, and nothing may grow. The load
runs in a process of its own (`python -m tests.stress.soak load SECONDS`), so that what is measured there is the library
and not the emulator.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from azure_postgresql_auth import asyncpg as entra_asyncpg
from azure_postgresql_auth import core, errors, identity
from azure_postgresql_auth._engine.refusal import is_refusal
from azure_postgresql_auth.psycopg3 import EntraConnection
from azure_postgresql_auth.sqlalchemy import enable_entra_authentication

from tests.stress.process_load import take, take_async

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

LIFETIME = 4.0
"""Seconds of a token's life, here and nowhere else: renewed after 2 to 2.4, not sent after 3.6."""
LEEWAY = 0.1
"""The share of a life at whose end a token is not sent any more."""
ONE_FAILS_OF = 3
SAMPLE_EVERY = 0.25
CHILDREN = 3
"""So many forked workers at once."""
LONGEST_CHILD = 20.0
"""Seconds until a forked worker counts as hanging."""

FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "503": {"status": 503},
    "429": {"status": 429},
    "429 for a second": {"status": 429, "headers": {"Retry-After": "1"}},
    "reset": {"reset": True},
    "hang": {"hang": True},
    "truncated JSON": {"truncate": True},
    "JSON of other types": {"status": 200, "body": '{"access_token": 7, "expires_on": []}'},
    "HTML": {"status": 200, "body": "<html></html>"},
    "a huge body": {"status": 200, "body": "{" + " " * (2 << 20)},
    "expired token": {"status": 200, "body": ""},  # filled in when its turn comes
}
# Errors of drivers whose backend was killed; psycopg 3 and psycopg2 have libpq's messages.
KILLED = (
    "terminating connection",
    "closed the connection unexpectedly",
    "closed unexpectedly",
    # OpenSSL's, where that comes in the midst of an answer.
    "unexpected eof while reading",
    "connection was closed",
    "connection is closed",
    # asyncpg's error if this happens between two of its own steps.
    "cannot switch to state",
)


# The storm, in the emulator's process


class Storm:
    """Fails a third of the identity requests, by every fault in turn, and kills backends."""

    def __init__(self, emulator: Emulator, seconds: float) -> None:
        self._emulator = emulator
        self._seconds = seconds
        self.counts: collections.Counter[str] = collections.Counter()
        self.killed = 0

    def rage(self) -> None:
        end = time.monotonic() + self._seconds
        for turn, name in enumerate(itertools.cycle(FAULTS)):
            # One request, which azure_core's next one makes good; later now and then as many as one fetch makes.
            times = 4 if turn >= len(FAULTS) and turn % 3 == 0 else 1
            settings = dict(FAULTS[name])
            if settings.get("body") == "":
                settings["body"] = self._expired()
            self._emulator.fail(times=times, **settings)
            self._let_pass(times, end)
            self.counts[name] += times
            if settings.get("hang"):
                time.sleep(0.5)
            self._emulator.heal()
            self._let_pass(times * (ONE_FAILS_OF - 1), end)
            self._kill()
            if time.monotonic() > end:
                return

    def _let_pass(self, requests: int, end: float) -> None:
        requests += len(self._emulator.token_requests)
        while len(self._emulator.token_requests) < requests and time.monotonic() < end:
            time.sleep(0.005)

    def _expired(self) -> str:
        token = self._emulator.token(self._emulator.identity, lifetime=-60)
        return json.dumps({"access_token": token, "expires_on": str(int(time.time()) - 60), "token_type": "Bearer"})

    def _kill(self) -> None:
        rows = self._emulator.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state IN ('idle', 'active') "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2"
        )
        self.killed += len(rows)


def soak(emulator: Emulator, seconds: float) -> dict[str, Any]:
    """Run the load and the storm, and return their results; `faults_found` lists violated expectations."""
    emulator.lifetime = LIFETIME
    principal = emulator.add_identity("app", "service-principal")
    command = [sys.executable, "-m", "tests.stress.soak", "load", str(seconds)]
    environment = {
        **os.environ,
        **emulator.env,
        **emulator.client_secret_env(principal),
    }
    storm = Storm(emulator, seconds)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as load:
        try:
            storm.rage()
            emulator.heal()
            printed, complained = load.communicate(timeout=60)
        except BaseException:
            load.kill()
            raise
    # libpq prints the server's messages on idle connections.
    said = [line for line in complained.splitlines() if line and not any(words in line for words in KILLED)]
    if load.returncode or said:
        message = f"the load ended with {load.returncode}: {said}"
        raise RuntimeError(message)
    found: dict[str, Any] = json.loads(printed)
    refused = collections.Counter(login.message for login in emulator.logins if not login.accepted)
    answers = [request.status for request in emulator.token_requests]
    found["server"] = {"logins": len(emulator.logins), "refused": refused, "backends killed": storm.killed}
    found["identity service"] = {
        "requests": len(answers),
        "failed": sum(storm.counts.values()),
        "by fault": storm.counts,
    }
    found["judgement"] = judge(found)
    return found


def judge(found: dict[str, Any]) -> list[str]:
    """Return the violated expectations."""
    logins, process = found["logins"], found["process"]
    wrong = [f"{name}: {said}" for name, said in found["failed with a good token"].items()]
    wrong += [f"{name}: {said}" for name, said in found["unexpected"].items()]
    wrong += [f"{name}: {count} hung or failed" for name, count in found["forks"].items() if name != "made" and count]
    wrong += [f"no logins of {name}" for name in ("psycopg3", "psycopg2", "asyncpg", "forked") if not logins.get(name)]
    for what in ("threads", "descriptors"):
        before, after = process[what]
        if after > before:
            wrong.append(f"{what}: {before} before, {after} after")
    if process["memory grew, MB"] > process["memory may grow, MB"]:
        wrong.append(f"memory grew by {process['memory grew, MB']} MB")
    return wrong


# The load, in a process of its own


class Login(NamedTuple):
    """One that is under way."""

    driver: str
    credential: Any
    good_until: float


class Load:
    """What happened to logins; one for all threads."""

    def __init__(self) -> None:
        self.logins: collections.Counter[str] = collections.Counter()
        self.killed: collections.Counter[str] = collections.Counter()
        self.without_token: collections.Counter[str] = collections.Counter()
        self.failed: dict[str, str] = {}
        self.unexpected: dict[str, str] = {}
        self.children: collections.Counter[str] = collections.Counter()
        self.longest = 0.0
        self.stop = threading.Event()

    def begin(self, driver: str, credential: Any) -> Login:
        self.logins[driver] += 1
        good_until = max(core.token_stats(credential).expires_on.values(), default=0.0)
        return Login(driver, credential, good_until - LEEWAY * (LIFETIME + 1))

    def fail(self, login: Login, error: BaseException) -> None:
        """Sorts out what became of a login, or of the connection that it led to."""
        now = time.time()
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, errors.AzurePgEntraError) or is_refusal(error):
            if now < login.good_until:
                self.failed[login.driver] = said
            else:
                self.without_token[login.driver] += 1
        elif any(words in said for words in KILLED):
            self.killed[login.driver] += 1
        else:
            self.unexpected[login.driver] = said


class CountedConnection(EntraConnection[Any]):
    """A connection of psycopg's pool, whose logins are counted where the pool makes them."""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
        login = LOAD.begin("psycopg3", kwargs["credential"])
        try:
            return super().connect(conninfo, **kwargs)
        except Exception as error:
            LOAD.fail(login, error)
            raise


LOAD = Load()


def psycopg3_pool(credential: Any) -> None:
    from psycopg import OperationalError
    from psycopg_pool import ConnectionPool

    # The pool discards connections of killed backends, and logs this.
    logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
    logging.getLogger("psycopg.pool").propagate = False
    keywords = {"credential": credential}
    with ConnectionPool(
        "", connection_class=CountedConnection, kwargs=keywords, min_size=1, max_size=3, max_lifetime=0.3
    ) as pool:
        while not LOAD.stop.is_set():
            try:
                with pool.connection() as connection:
                    connection.execute("SELECT 1")
            except OperationalError as error:
                LOAD.fail(Login("psycopg3", credential, 0.0), error)
            time.sleep(0.02)


def psycopg2_pool(credential: Any) -> None:
    from sqlalchemy import QueuePool, create_engine, text

    # A service principal, whose token names no user.
    connect_args = {"credential": credential, "user": "app"}
    engine = create_engine("postgresql+psycopg2://", connect_args=connect_args, poolclass=QueuePool, pool_size=1)
    enable_entra_authentication(engine)
    while not LOAD.stop.is_set():
        login = LOAD.begin("psycopg2", credential)
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                connection.invalidate()  # the next one logs in
        except Exception as error:  # noqa: BLE001 - sorted out there
            LOAD.fail(login, error)
        time.sleep(0.02)
    engine.dispose()


async def asyncpg_pool(credential: Any) -> None:
    async def churn() -> None:
        while not LOAD.stop.is_set():
            login = LOAD.begin("asyncpg", credential)
            try:
                await pool.fetchval("SELECT 1")
            except Exception as error:  # noqa: BLE001 - sorted out there
                LOAD.fail(login, error)
            await asyncio.sleep(0.02)

    # Each connection is good for one query.
    pool = await entra_asyncpg.create_pool(user="app", credential=credential, min_size=0, max_size=3, max_queries=1)
    await asyncio.gather(churn(), churn())
    await pool.close()


def forked_workers(credentials: list[object]) -> None:
    """Forks in the midst of it all; each child takes what its parent has and renews it for as long as a token lives."""
    children: dict[int, float] = {}
    while not LOAD.stop.is_set() or children:
        if len(children) < CHILDREN and not LOAD.stop.is_set():
            # Not logins to the server: libraries below the drivers may be in the middle of something as well.
            pid = os.fork()
            if pid == 0:
                os._exit(worker(credentials))
            children[pid] = time.monotonic() + LONGEST_CHILD
            LOAD.children["made"] += 1
        time.sleep(0.3)
        for child, deadline in list(children.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                del children[child]
                LOAD.children["failed"] += status != 0
                LOAD.logins["forked"] += status == 0
            elif time.monotonic() > deadline:
                os.kill(child, 9)
                os.waitpid(child, 0)
                del children[child]
                LOAD.children["hung"] += 1


def worker(credentials: list[object]) -> int:
    end = time.monotonic() + LIFETIME
    try:
        while time.monotonic() < end and not LOAD.stop.is_set():
            for credential in credentials:
                good_until = max(core.token_stats(credential).expires_on.values(), default=0.0)  # type: ignore[arg-type]
                try:
                    (take if random.random() < 0.5 else take_async)(credential)  # noqa: S311
                except errors.AzurePgEntraError as error:
                    if time.time() < good_until - LEEWAY * (LIFETIME + 1):
                        print(f"a forked worker: {error}", file=sys.stderr, flush=True)  # noqa: T201
                        return 1
            time.sleep(0.1)
    except BaseException as error:  # noqa: BLE001 - told below
        print(f"a forked worker: {error!r}", file=sys.stderr, flush=True)  # noqa: T201
        return 1
    return 0


def sample() -> tuple[int, int, float]:
    """Threads, descriptors, and MB of memory of this process."""
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        status = dict(line.split(":", 1) for line in file)
    memory = int(status["VmRSS"].split()[0]) / 1024
    return int(status["Threads"]), len(os.listdir("/proc/self/fd")), memory  # noqa: PTH208


def churn(seconds: float) -> list[float]:
    """All of it for so long; memory along the way."""
    LOAD.stop.clear()
    credentials = {
        "psycopg3": identity.ManagedIdentityCredential(),
        "psycopg2": identity.EnvironmentCredential(),
        "asyncpg": identity.DefaultAzureCredential(),
    }
    threads = [
        threading.Thread(target=psycopg3_pool, args=(credentials["psycopg3"],)),
        threading.Thread(target=psycopg2_pool, args=(credentials["psycopg2"],)),
        threading.Thread(target=lambda: asyncio.run(asyncpg_pool(credentials["asyncpg"]))),
        threading.Thread(target=forked_workers, args=(list(credentials.values()),)),
    ]
    for thread in threads:
        thread.start()
    memory = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(SAMPLE_EVERY)
        memory.append(sample()[2])
    LOAD.stop.set()
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            sys.exit(f"{thread.name} hangs")
    return memory


def settled(threads: int = 0, descriptors: int = 0) -> tuple[int, int]:
    """Threads and descriptors when all that is under way has ended: not more than these, or what it comes to."""
    fewest = sample()[:2]
    end = time.monotonic() + 5
    while time.monotonic() < end and (fewest[0] > threads or fewest[1] > descriptors):
        time.sleep(0.05)
        fewest = min(fewest, sample()[:2])
    return fewest


def load(seconds: float) -> None:
    """Run the churn, and print its results."""
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later on forks of threaded processes
    churn(min(seconds / 4, 10))  # what is set up once is there after that
    threads, descriptors = settled(1, 6)
    memory = churn(seconds * 3 / 4)
    threads_after, descriptors_after = settled(threads, descriptors)
    third = max(1, len(memory) // 3)
    grew = sum(memory[-third:]) / third - sum(memory[third : 2 * third]) / third
    report = {
        "seconds": seconds,
        "logins": LOAD.logins,
        "failed with a good token": LOAD.failed,
        "failed without one": LOAD.without_token,
        "unexpected": LOAD.unexpected,
        "connections killed": LOAD.killed,
        "forks": LOAD.children,
        "process": {
            "threads": (threads, threads_after),
            "descriptors": (descriptors, descriptors_after),
            "memory, MB": [round(value, 1) for value in (memory[0], memory[len(memory) // 2], memory[-1])],
            "memory grew, MB": round(grew, 2),
            "memory may grow, MB": 3.0,
        },
    }
    print(json.dumps(report))  # noqa: T201


def main() -> int:
    if sys.argv[1:2] == ["load"]:
        load(float(sys.argv[2]))
        return 0
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.emulator import hidden_world

    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    with hidden_world(), Emulator() as emulator:
        found = soak(emulator, seconds)
    print(json.dumps(found, indent=2))  # noqa: T201
    return 1 if found["judgement"] else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
