"""A Celery application whose tasks log in through Django."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery  # type: ignore[import-untyped]

from tests.stress.soak import web

QUEUE = Path(os.environ["SOAK_FOLDER"], "queue")

app = Celery("soak", broker="filesystem://", backend=f"file://{QUEUE / 'results'}")
app.conf.broker_transport_options = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), str(QUEUE))
app.conf.broker_connection_retry_on_startup = True


@app.task(name="order")  # type: ignore[untyped-decorator]
def order(number: int) -> int:
    """Log in."""
    web.query("celery")
    return 2 * number
