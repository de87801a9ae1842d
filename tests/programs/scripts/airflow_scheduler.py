"""Airflow 3: migrations, the scheduler without a pool, and the command line."""

import os
import subprocess
import sys
import time
from pathlib import Path

home = str(Path("airflow").resolve())
environment = {
    **os.environ,
    "AIRFLOW_HOME": home,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{os.environ['PLACE']}?plugin=entra",
    # So that each session logs in.
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_ENABLED": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}
airflow = [sys.executable, "-m", "airflow"]


def run(*arguments: str) -> str:
    """Run a command."""
    done = subprocess.run([*airflow, *arguments], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    return done.stdout


run("db", "migrate")
with subprocess.Popen([*airflow, "scheduler"], env=environment) as scheduler:
    try:
        end, number = time.monotonic() + float(os.environ["SECONDS"]), 0
        while time.monotonic() < end:
            number += 1
            run("variables", "set", "number", str(number))
        assert str(number) in run("variables", "get", "number")
        assert scheduler.poll() is None
    finally:
        scheduler.terminate()
    scheduler.wait(60)
print("done")
