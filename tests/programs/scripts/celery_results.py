"""Celery with SQLAlchemy's result backend: a worker with two processes, and tasks that are sent to it."""

import os
import subprocess
import sys
import time
from pathlib import Path

from celery import Celery

app = Celery("celery_results", broker="filesystem://", backend=f"db+{os.environ['DATABASE_URL']}")
app.conf.broker_transport_options = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), "queue")


@app.task(name="double")
def double(number: int) -> int:
    """Be a task."""
    return 2 * number


def main() -> None:
    """Run the worker, and send tasks."""
    Path("queue").mkdir()
    command = [sys.executable, "-m", "celery", "-A", "celery_results", "worker", "--concurrency=2", "--loglevel=INFO"]
    path = f"{Path(__file__).parent}{os.pathsep}{os.environ['PYTHONPATH']}"
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}) as worker:
        assert double.delay(1).get(timeout=60) == 2
        end, number = time.monotonic() + float(os.environ["SECONDS"]), 0
        while time.monotonic() < end:
            assert double.delay(number).get(timeout=20, interval=0.1) == 2 * number
            number += 1
        worker.terminate()
        assert worker.wait(30) == 0


if __name__ == "__main__":
    main()
    print("done")
