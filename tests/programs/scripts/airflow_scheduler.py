"""Airflow 3: migrations, the scheduler and the command line; by URL, and by `airflow_local_settings.py`."""

import os
import subprocess
import sys
from pathlib import Path

from serving import going_on

LOCAL_SETTINGS = """
from azure_postgresql_auth.sqlalchemy import enable_entra_authentication
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

__all__ = ["create_async_metadata_engine", "create_metadata_engine"]


def create_metadata_engine(sql_alchemy_conn, *, engine_args, connect_args):
    engine = create_engine(sql_alchemy_conn, connect_args=connect_args, **engine_args)
    enable_entra_authentication(engine)
    return engine


def create_async_metadata_engine(sql_alchemy_conn_async, *, connect_args, engine_args=None):
    engine = create_async_engine(sql_alchemy_conn_async, connect_args=connect_args, **(engine_args or {}))
    enable_entra_authentication(engine)
    return engine
"""


class Airflow:
    """Airflow with its own folder and settings."""

    def __init__(self, name: str, url: str, **settings: str) -> None:
        self.home = Path(name).resolve()
        self.environment = {
            **os.environ,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            # So that each session logs in.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_ENABLED": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **settings,
        }

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command."""
        return subprocess.Popen([sys.executable, "-m", "airflow", *arguments], env=self.environment)

    def run(self, *arguments: str) -> None:
        """Run a command to its end."""
        assert self.start(*arguments).wait() == 0

    def use(self) -> None:
        """Run the migrations and the scheduler, and write to the database beside it."""
        self.run("db", "migrate")
        with self.start("scheduler") as scheduler:
            try:
                for number in going_on():
                    self.run("variables", "set", "number", str(number))
                self.run("variables", "get", "number")
                assert scheduler.poll() is None
            finally:
                scheduler.terminate()
            scheduler.wait(60)


Airflow("by-url", f"postgresql+psycopg2://{os.environ['PLACE']}?plugin=entra").use()
by_code = Airflow("by-code", f"postgresql+psycopg2://{os.environ['PLACE']}", AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS="")
(by_code.home / "config").mkdir(parents=True)
(by_code.home / "config" / "airflow_local_settings.py").write_text(LOCAL_SETTINGS, "utf-8")
by_code.use()
print("done")
