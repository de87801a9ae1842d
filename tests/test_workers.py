"""Thirty-two workers of one pre-fork server, and the limits of IMDS: so many requests a second, five at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.test_processes import run

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

WORKERS = 32


def imds(emulator: Emulator, script: str) -> None:
    """Runs a script that finds IMDS instead of App Service's endpoint."""
    without = "for name in ('IDENTITY_ENDPOINT', 'IDENTITY_HEADER'): del os.environ[name]\n"
    run(emulator, without + script)


def statuses(emulator: Emulator) -> list[int]:
    assert {request.endpoint for request in emulator.token_requests} == {"imds"}
    return [request.status for request in emulator.token_requests]


def test_renew_a_token_of_their_parents_at_different_times(emulator: Emulator) -> None:
    """The token is due for all of them after half its life, and jitter spreads them over a tenth of it."""
    emulator.lifetime = 10
    # No limit per second: an hour's token spreads them over six minutes, this one over one second.
    emulator.throttle(per_second=1000)
    imds(
        emulator,
        f"""
credential = identity.ManagedIdentityCredential()
begun = time.time()
token = ask(credential)
(expires_on,) = core.token_stats(credential).expires_on.values()
def worker():
    while ask(credential) == token:
        assert time.time() < expires_on, "never renewed"
        time.sleep(0.01)
    assert core.token_stats(credential).requests == 2
    # It was not waited for: nobody had to.
    assert time.time() < begun + 0.7 * (expires_on - begun)
reap([fork(worker) for _ in range({WORKERS})])
""",
    )
    assert statuses(emulator) == [200] * (1 + WORKERS)


def test_that_all_start_cold_recover_from_being_throttled(emulator: Emulator) -> None:
    emulator.latency = 0.05
    emulator.throttle()
    imds(
        emulator,
        f"""
credential = identity.ManagedIdentityCredential()
reap([fork(lambda: ask(credential)) for _ in range({WORKERS})], seconds=60)
""",
    )
    found = statuses(emulator)
    assert found.count(200) == WORKERS
    assert 429 in found, "they were never throttled, so nothing is shown"
