"""Dagster: runs, events and schedules in PostgreSQL, by `postgres_url`, and by `postgres_db` with `params`."""

import os
import time
from pathlib import Path

import dagster

server, _, rest = os.environ["PLACE"].partition(":")
port, _, database = rest.partition("/")
BY_URL = f"    postgres_url: postgresql+psycopg2://{os.environ['PLACE']}?plugin=entra"
BY_PARTS = f"""    postgres_db:
      hostname: {server}
      port: {port}
      db_name: {database}
      username: {os.environ["ROLE"]}
      password: ""
      scheme: postgresql+psycopg2
      params:
        plugin: entra"""
home = Path("home").absolute()
home.mkdir()
os.environ["DAGSTER_HOME"] = str(home)


@dagster.op
def one() -> int:
    """Be an op."""
    return 1


@dagster.job
def job() -> None:
    """Be a job."""
    one()


for storage in (BY_URL, BY_PARTS):
    (home / "dagster.yaml").write_text(f"telemetry:\n  enabled: false\nstorage:\n  postgres:\n{storage}\n", "utf-8")
    end, number = time.monotonic() + float(os.environ["SECONDS"]) / 2, 0
    while time.monotonic() < end:
        with dagster.DagsterInstance.get() as instance:
            before = len(instance.get_runs())
            assert job.execute_in_process(instance=instance).success
            assert len(instance.get_runs()) == before + 1
print("done")
