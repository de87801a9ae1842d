"""A Django project under gunicorn, with workers forked from a process that has loaded it, while tokens expire."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.django import needs_pools
from tests.support.django_project import PROJECT, ROOT, on_this_stack
from tests.support.platforms import needs_fork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.django_project import Project

pytestmark = needs_fork  # as gunicorn does

SECONDS = 7.0
WORKERS = 4


@contextmanager
def served(project: Project, options: Sequence[str], log: Path) -> Iterator[int]:
    """Run gunicorn until the end of the block; yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, log.open("w") as output:
        command = ["-m", "gunicorn", "--preload", "--workers", str(WORKERS), "--bind", f"fd://{listener.fileno()}"]
        server = subprocess.Popen(
            [project.python, *command, "--graceful-timeout", "5", *options],
            cwd=PROJECT,
            env=project.env,
            pass_fds=[listener.fileno()],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield listener.getsockname()[1]
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                code = server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                code = server.wait()
    assert code == 0, log.read_text()


def ask(port: int, path: str, until: float, answers: list[Any]) -> None:
    """One client: a new connection for each request, one request after the other."""
    while time.monotonic() < until:
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            answers.append(json.loads(body) if response.status == 200 else (response.status, body[:2000]))
        except (OSError, HTTPException) as error:
            answers.append(repr(error))
        finally:
            connection.close()


WAYS: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "a connection for each request": (["project.served:wsgi"], "/orders/", {}),
    "persistent connections": (["project.served:wsgi"], "/orders/", {"CONN_MAX_AGE": 1, "CONN_HEALTH_CHECKS": True}),
    "a pool and threads": (
        ["--threads", "4", "project.served:wsgi"],
        "/orders/",
        {"OPTIONS": {"pool": {"min_size": 1, "max_size": 4, "max_lifetime": 0.5}}},
    ),
    "asynchronous": (["-k", "asgi", "project.served:asgi"], "/orders/async/", {}),
}


@on_this_stack
@pytest.mark.parametrize("way", [pytest.param(way, marks=needs_pools if "pool" in way else ()) for way in WAYS])
def test_no_request_fails(way: str, project: Project, emulator: Emulator, tmp_path: Path) -> None:
    options, path, entry = WAYS[way]
    if way == "asynchronous" and not importlib.util.find_spec("gunicorn.workers.gasgi"):
        pytest.skip("this gunicorn has no ASGI worker")
    project.using({"default": project.entry()}).manage("migrate")
    emulator.reset_counters()
    emulator.lifetime = 3
    # The parent connects before it forks.
    project = project.using({"default": project.entry(**entry)}, DJANGO_CONNECT_FIRST="1")
    log = tmp_path / "log"
    answers: list[Any] = []
    with served(project, options, log) as port:
        first: list[Any] = []
        ask(port, path, time.monotonic() + 0.01, first)
        until = time.monotonic() + SECONDS
        clients = [threading.Thread(target=ask, args=(port, path, until, answers)) for _ in range(WORKERS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    text = log.read_text()
    assert [answer for answer in first + answers if answer != {"orders": 0, "user": "emulator-identity"}] == [], text
    assert len(answers) > 40, text
    # On a busy machine a token may end on its way to the server; then the login is tried again.
    refused = [login.message for login in emulator.logins if not login.accepted]
    assert len(refused) <= len(emulator.logins) / 10, refused
    assert "Traceback" not in text
    # They lived through several tokens, and asked for no more than each of the processes has to.
    lives = SECONDS / emulator.lifetime
    assert 2 * lives <= len(emulator.token_requests) <= WORKERS * (2 * lives + 3), len(answers)


@on_this_stack
def test_workers_inherit_the_tokens_of_every_identity(project: Project, emulator: Emulator, tmp_path: Path) -> None:
    """The recipe of the documentation: two identities, one token request each, however many workers there are."""
    reader = emulator.add_identity("reader")
    project.using({"default": project.entry()}).manage("migrate")
    emulator.sql("GRANT pg_read_all_data TO reader")
    recipe = re.search(
        r"```python\n(preload_app = True.*?)```", (ROOT / "docs/drivers/django.md").read_text("utf-8"), re.DOTALL
    )
    assert recipe
    (tmp_path / "gunicorn.conf.py").write_text(recipe[1])
    emulator.reset_counters()
    credential = "shop.credentials.reader"
    replica = project.entry(OPTIONS={"credential": credential}, TEST={"MIRROR": "default"})
    databases = {"default": project.entry(), "replica": replica}
    env = {"DJANGO_ROUTERS": '["project.routers.Replica"]', "READER": reader.client_id}
    log = tmp_path / "log"
    answers: list[Any] = []
    with served(
        project.using(databases, **env), ["-c", str(tmp_path / "gunicorn.conf.py"), "project.served:wsgi"], log
    ) as port:
        clients = [
            threading.Thread(target=ask, args=(port, "/orders/", time.monotonic() + 2, answers)) for _ in range(WORKERS)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    assert answers
    assert all(answer == {"orders": 0, "user": "emulator-identity"} for answer in answers), answers[:5]
    requests = [request.client_id for request in emulator.token_requests]
    assert sorted(requests) == sorted([reader.client_id, emulator.identity.client_id])
    assert {login.role for login in emulator.logins} == {"reader", "emulator-identity"}
