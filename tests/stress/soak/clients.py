"""The clients of gunicorn, Celery and the proxy: python -m tests.stress.soak.clients, until SIGTERM.

The proxy has 32 connections that come and go, some of which copy, and one that is idle from the beginning to the end.
"""

from __future__ import annotations

import gc
import os
import random
import re
import signal
import sys
import threading
import urllib.request
from http.client import HTTPConnection
from typing import Any, Callable

import psycopg
from azure_postgresql_auth._engine.refusal import is_refusal

from tests.stress.soak import events
from tests.stress.soak.faults import CONNECT_TIMEOUT, LIFETIME, STOPPED

CONNECTIONS = 32
PAGES_PAUSE = 0.2
IDLE = "soak-idle"
"""The application name of the connection that nobody may kill."""
_TIMEOUT = 90.0
_ROWS = 20_000


def pages(stop: threading.Event) -> None:
    """Ask gunicorn for one page after the other."""
    port = int(os.environ["SOAK_GUNICORN_PORT"])
    while not stop.wait(PAGES_PAUSE):
        page = events.attempt("pages")
        connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
        try:
            connection.request("GET", "/")
            status = connection.getresponse().status
            # The view has reported why it is 503.
            events.count(f"pages with status {status}")
        except OSError as error:
            page.failed(error)
        finally:
            connection.close()


def tasks(stop: threading.Event) -> None:
    """Send one task after the other."""
    from tests.stress.soak.tasks import order

    number = 0
    while not stop.wait(PAGES_PAUSE):
        number += 1
        task = events.attempt("tasks")
        try:
            result = order.delay(number)
            doubled = result.get(timeout=_TIMEOUT, interval=0.05)
        except Exception as error:  # noqa: BLE001 - judged later
            task.failed(error)
            continue
        result.forget()
        events.count("tasks" if doubled == 2 * number else "tasks with a wrong result")


class Expiry:
    """When the proxy's token expires, by its metrics."""

    def __init__(self) -> None:
        self.at = 0.0

    def watch(self, stop: threading.Event) -> None:
        url = f"http://{os.environ['SOAK_PROXY_HTTP']}/metrics"
        while not stop.wait(0.2):
            try:
                with urllib.request.urlopen(url, timeout=STOPPED + LIFETIME) as answer:
                    found = re.search(r"token_expiry_timestamp_seconds{.*} (\d+)", answer.read().decode())
            except OSError as error:
                events.attempt("the proxy's metrics").failed(error)
            else:
                self.at = float(found[1]) if found else 0.0


EXPIRY = Expiry()


def connect(**kwargs: Any) -> psycopg.Connection[Any]:
    # The service principal's secret is in the environment; the proxy's identity is the default one.
    conninfo = f"host={os.environ['SOAK_PROXY_SOCKET']} port=5432 user=app dbname=postgres"
    return psycopg.connect(conninfo, autocommit=True, **kwargs)


def proxied(stop: threading.Event) -> None:
    """Connect, query or copy, and close, again and again."""
    while not stop.wait(random.uniform(0, 2 * LIFETIME)):  # noqa: S311
        login = events.attempt("proxy", expires_on=EXPIRY.at)
        try:
            connection = connect(connect_timeout=CONNECT_TIMEOUT)
        except psycopg.Error as error:
            login.failed(error, is_login=is_refusal(error) or "azure-postgresql-auth proxy" in str(error))
            continue
        login.succeeded()
        session = events.attempt("sessions of the proxy")
        try:
            with connection:
                use(connection, stop)
            session.succeeded()
        except psycopg.Error as error:
            session.failed(error)


def use(connection: psycopg.Connection[Any], stop: threading.Event) -> None:
    connection.execute("SELECT 1")
    if random.random() < 0.1:  # noqa: S311
        connection.execute("CREATE TEMPORARY TABLE copied (number integer)")
        with connection.cursor() as cursor:
            with cursor.copy("COPY copied FROM STDIN") as copy:
                for number in range(_ROWS):
                    copy.write_row((number,))
            with cursor.copy("COPY copied TO STDOUT") as copy:
                events.count("rows copied", sum(1 for _ in copy.rows()))
    stop.wait(random.uniform(0, LIFETIME))  # noqa: S311


def idle(stop: threading.Event) -> None:
    """Keep one connection, idle for the whole time."""
    with connect(application_name=IDLE) as connection:
        stop.wait()
        connection.execute("SELECT 1")
        events.count("idle connections that lived")


def main() -> None:
    stop = threading.Event()
    parts: list[Callable[[threading.Event], None]] = [pages, pages, tasks, EXPIRY.watch, idle]
    parts += [proxied] * CONNECTIONS
    threads = [threading.Thread(target=part, args=(stop,), name=part.__name__) for part in parts]
    for thread in threads:
        thread.start()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Connections that psycopg gave up keep their sockets until then.
    while not stop.wait(10):
        gc.collect()
    for thread in threads:
        thread.join(_TIMEOUT)
        if thread.is_alive():
            sys.exit(f"{thread.name} hangs")


if __name__ == "__main__":
    main()
