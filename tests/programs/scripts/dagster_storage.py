"""Dagster: runs, events and schedules in PostgreSQL, by URL, by parameters, and by code in place of Dagster's own."""

import os
from pathlib import Path

import dagster
import dagster_postgres.auth
from azure_postgresql_auth.sqlalchemy import enable_entra_authentication
from serving import going_on

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
BY_CODE = BY_PARTS.replace("      params:\n        plugin: entra", "    auth_provider:\n      azure_wif: {}")
# All that Dagster would need instead of its `AzureWifTokenProvider`.
dagster_postgres.auth.register_do_connect_hook = lambda engine, _: enable_entra_authentication(engine)
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


for storage in (BY_URL, BY_PARTS, BY_CODE):
    (home / "dagster.yaml").write_text(f"telemetry:\n  enabled: false\nstorage:\n  postgres:\n{storage}\n", "utf-8")
    for _ in going_on():
        with dagster.DagsterInstance.get() as instance:
            before = len(instance.get_runs())
            assert job.execute_in_process(instance=instance).success
            assert len(instance.get_runs()) == before + 1
print("done")
