"""Thirty-two workers of one pre-fork server, and the limits of IMDS: so many requests a second, five at once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.platforms import needs_fork
from tests.support.processes import run

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

pytestmark = needs_fork

WORKERS = 32


def imds(emulator: Emulator, script: str) -> str:
    """Run a script that finds IMDS instead of App Service's endpoint; return its output."""
    without = "for name in ('IDENTITY_ENDPOINT', 'IDENTITY_HEADER'): del os.environ[name]\n"
    return run(emulator, without + script)


def statuses(emulator: Emulator) -> list[int]:
    assert {request.endpoint for request in emulator.token_requests} == {"imds"}
    return [request.status for request in emulator.token_requests]


def test_renew_a_token_of_their_parents_at_different_times(emulator: Emulator) -> None:
    """The token is due for all of them after half its life, and jitter spreads them over a tenth of it."""
    emulator.lifetime = 10
    # No limit per second: an hour's token spreads them over six minutes, this one over one second.
    emulator.throttle(per_second=1000)
    for _ in range(4):
        emulator.reset_counters()
        told = imds(
            emulator,
            f"""
credential = identity.ManagedIdentityCredential()
token = ask(credential)
def worker():
    while ask(credential) == token:
        time.sleep(0.01)
    os.write(1, b"%d=%f " % (os.getpid(), time.time()))
workers = [fork(worker) for _ in range({WORKERS})]
worker()
reap(workers)
os.write(1, b"parent=%d" % os.getpid())
""",
        )
        times = dict(word.split("=") for word in told.split())
        parents = float(times.pop(times.pop("parent")))
        earlier = sum(float(moment) < parents - 0.1 for moment in times.values())
        asked = statuses(emulator)
        assert asked.count(200) == 1 + WORKERS + 1
        # Nobody is earlier: they wait for their parent's time. Throttled: they go together, as on a machine that stood
        # still. By chance neither happens four times.
        if earlier and 429 not in asked:
            return
    pytest.fail(f"{earlier} renewed earlier than their parent; throttled: {asked.count(429)}")


def test_workers_that_start_together_recover_from_throttling(emulator: Emulator) -> None:
    emulator.throttle()
    # Workers of a busy machine start one after the other, and meet only at a slow service.
    for latency in (0.05, 0.2, 0.5, 1.0):
        emulator.latency = latency
        emulator.reset_counters()
        imds(
            emulator,
            f"""
credential = identity.ManagedIdentityCredential()
reap([fork(lambda: ask(credential)) for _ in range({WORKERS})])
""",
        )
        found = statuses(emulator)
        assert found.count(200) == WORKERS
        if 429 in found:
            return
    pytest.fail("they were never throttled, so nothing is shown")


CELERY = """
import os, sys
from pathlib import Path
from celery import Celery
from azure_postgresql_auth import core, identity
from azure_postgresql_auth.psycopg3 import EntraConnection

folder = Path(__file__).parent
app = Celery("tasks", broker="filesystem://", backend=f"file://{folder}/results")
app.conf.broker_transport_options = {f"data_folder_{way}": f"{folder}/queue" for way in ("in", "out")}
app.conf.broker_transport_options["control_folder"] = f"{folder}/control"
app.conf.worker_cancel_long_running_tasks_on_connection_loss = True
credential = identity.ManagedIdentityCredential()

@app.task
def work():
    with EntraConnection.connect(credential=credential) as connection:
        return [os.getpid(), connection.execute("SELECT session_user").fetchone()[0]]

if __name__ == "__main__":
    asked = [work.delay() for _ in range(20)]
    for result in asked:
        print(*result.get(timeout=60))
elif "worker" in sys.argv:
    core.get_entra_token(credential)  # before the workers are forked
"""


def test_celery(emulator: Emulator, tmp_path: Path) -> None:
    pytest.importorskip("celery")
    for folder in ("queue", "control", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tasks.py").write_text(CELERY)
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "tasks", "worker", "-P", "prefork", "-c", "4"]
    quietly = ["--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    log = tmp_path / "log"
    with log.open("w") as output:
        worker = subprocess.Popen([*command, *quietly], cwd=tmp_path, stdout=output, stderr=output)
        try:
            script = [sys.executable, "-W", "ignore", "tasks.py"]
            done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False)
        finally:
            worker.terminate()
            ended = worker.wait(60)
    assert (done.returncode, done.stderr) == (0, ""), log.read_text()
    pids, roles = zip(*(line.split() for line in done.stdout.splitlines()))
    assert set(roles) == {emulator.identity.role}
    assert len(set(pids)) > 1
    assert worker.pid not in map(int, pids)
    assert ended == 0, log.read_text()
    # The workers kept what their parent had.
    assert len(emulator.token_requests) == 1
