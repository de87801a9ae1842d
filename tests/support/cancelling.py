"""Cancel a statement once the server runs it."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Callable

import psycopg
import pytest

from tests.support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

needs_cancel_safe = pytest.mark.skipif(
    not psycopg.capabilities.has_cancel_safe(),
    reason="before libpq 17, psycopg waits for the server with the GIL, which the emulator in this process needs",
)


@contextlib.contextmanager
def cancelled_asleep(emulator: Emulator, cancel: Callable[[], object]) -> Iterator[None]:
    """Call a function in a thread, as soon as a statement of the block is in `pg_sleep`."""

    def run() -> None:
        eventually(lambda: emulator.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        cancel()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
