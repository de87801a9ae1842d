"""A Celery application whose tasks log in through Django. As a program, it prepares broker and results."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery  # type: ignore[import-untyped]

from tests.stress.soak import web

FOLDER = Path(os.environ["SOAK_FOLDER"])

# Not kombu's broker of plain files, whose workers end when they read one that is being written.
app = Celery("soak", broker=f"sqla+sqlite:///{FOLDER / 'broker'}", backend=f"db+sqlite:///{FOLDER / 'results'}")
app.conf.broker_connection_retry_on_startup = True


def create_tables() -> None:
    """Create the tables of broker and results, so that worker and client do not both try to at once."""
    with app.connection_for_write() as connection:
        app.amqp.queues[app.conf.task_default_queue](connection.default_channel).declare()
    app.backend.ResultSession()


@app.task(name="order")  # type: ignore[untyped-decorator]
def order(number: int) -> int:
    """Log in."""
    web.query("celery")
    return 2 * number


if __name__ == "__main__":
    create_tables()
