"""procrastinate: a worker that listens for jobs, and jobs that are deferred to it."""

import asyncio
import contextlib
import os
import time

from azure_postgresql_auth.psycopg3 import AsyncEntraConnection
from procrastinate import App, PsycopgConnector

app = App(
    connector=PsycopgConnector(
        conninfo=f"postgresql://{os.environ['PLACE']}",
        connection_class=AsyncEntraConnection,
        min_size=1,
        max_size=3,
        max_lifetime=0.5,
    )
)
ran = []


@app.task
async def count(number: int) -> None:
    """Be a job."""
    ran.append(number)


async def main() -> None:
    """Defer jobs while the worker runs them."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        worker = asyncio.create_task(app.run_worker_async(install_signal_handlers=False))
        end = time.monotonic() + float(os.environ["SECONDS"])
        number = 0
        while time.monotonic() < end:
            await count.defer_async(number=number)
            number += 1
            await asyncio.sleep(0.2)
        for _ in range(100):
            await asyncio.sleep(0.1 if len(ran) < number else 0)
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
    assert sorted(ran) == list(range(number)), (ran, number)


asyncio.run(main())
print("done")
