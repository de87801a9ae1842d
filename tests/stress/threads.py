"""Many threads use the same and ever new credentials, while the process forks: what free-threaded builds have to bear.

    python threads.py SECONDS

Runs on every CPython with nothing but the package itself. Tokens are counted: however many threads ask, a credential is
called once for each token. Exits with 1 and says what was wrong. `make test` runs it shortened.
"""

from __future__ import annotations

import base64
import gc
import itertools
import json
import os
import random
import signal
import sys
import threading
import time
import warnings
from typing import Callable, NamedTuple

from azure_postgresql_auth import core

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later on forks of threaded processes

THREADS = 12
FORKING = 2
SCOPES = [f"https://{number}/.default" for number in range(12)]
"""More than the engine keeps Python's objects of (src/py/cached_logins.rs)."""
CHILD_SECONDS = 30


class Token(NamedTuple):
    token: str
    expires_on: float


class Credential:
    def __init__(self, user: str, lifetime: float = 3600) -> None:
        self.user = user
        self.lifetime = lifetime
        self.calls: list[str] = []

    def get_token(self, *scopes: str, **_: object) -> Token:
        self.calls += scopes
        claims = json.dumps({"upn": self.user, "number": len(self.calls)}).encode()
        time.sleep(random.random() / 500)  # noqa: S311
        return Token(f"e30.{base64.urlsafe_b64encode(claims).decode()}.c", time.time() + self.lifetime)


class Slotted(Credential):
    """Cannot be referenced weakly."""

    __slots__ = ("calls", "lifetime", "user")


def log_in(credential: Credential) -> None:
    user = core.get_entra_conninfo(credential)["user"]
    assert user == credential.user, user


def use_a_new_one(number: int) -> None:
    credential = (Slotted if number % 2 else Credential)(f"{number}@contoso.com")
    log_in(credential)
    log_in(credential)
    assert len(credential.calls) == 1, credential.calls


def use_in_a_child(credentials: list[Credential]) -> None:
    pid = os.fork()
    if pid == 0:
        signal.alarm(CHILD_SECONDS)
        try:
            for credential in credentials:
                log_in(credential)
            use_a_new_one(0)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent has to hear of it
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"a child ended with {status}"


def together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(seconds: float) -> int:
    lasting, short = Credential("lasting@contoso.com"), Credential("short@contoso.com", 2)
    end = time.monotonic() + seconds
    rounds = itertools.count()
    forks = itertools.count()
    errors: list[BaseException] = []

    def run(step: Callable[[int], object], counter: itertools.count[int]) -> None:
        try:
            while time.monotonic() < end and not errors:
                step(next(counter))
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    def step(number: int) -> None:
        for _ in range(20):
            log_in(lasting)
        log_in(short)
        core.get_entra_token(lasting, SCOPES[number % len(SCOPES)])
        use_a_new_one(number)

    jobs: list[tuple[Callable[[int], object], itertools.count[int]]] = [(step, rounds)] * THREADS
    if hasattr(os, "fork"):
        jobs += [(lambda _: use_in_a_child([lasting, short]), forks)] * FORKING
    together([threading.Thread(target=run, args=job) for job in jobs])
    gc.collect()

    wrong = [*map(repr, errors)]
    if len(lasting.calls) != 1 + len(SCOPES):
        wrong.append(f"{len(lasting.calls)} tokens for {1 + len(SCOPES)} scopes")
    # A short token is replaced after a second at the earliest.
    if len(short.calls) > seconds + 2:
        wrong.append(f"{len(short.calls)} short tokens in {seconds} s")
    gil = "with" if getattr(sys, "_is_gil_enabled", lambda: True)() else "without"
    print(f"{next(rounds)} rounds {gil} a GIL, {next(forks)} forks", *wrong, sep="\n")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
