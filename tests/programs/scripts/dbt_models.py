"""dbt: a project whose runs open connections for longer than a token lives."""

import os
import subprocess
from pathlib import Path

from serving import going_on, query

host, _, database = os.environ["PLACE"].partition("/")
server, _, port = host.partition(":")
Path("dbt_project.yml").write_text("name: shop\nversion: '1.0'\nprofile: shop\nmodel-paths: [models]\n", "utf-8")
Path("profiles.yml").write_text(
    f"""
shop:
  target: prod
  outputs:
    prod:
      type: postgres
      host: {server}
      port: {port}
      user: {os.environ["ROLE"]}
      password: ""
      dbname: {database}
      schema: public
      threads: 1
""",
    "utf-8",
)
Path("models").mkdir()
for number in range(4):
    # A table takes as long as its query.
    Path("models", f"model_{number}.sql").write_text(
        f"{{{{ config(materialized='table') }}}} SELECT {number} AS number, pg_sleep(1)::text AS slept", "utf-8"
    )
command = ["python", "-m", "azure_postgresql_auth", "exec", "--", "dbt", "run"]
for _ in going_on():
    subprocess.run(command, check=True)
    assert query("SELECT count(*) FROM model_0") == [1]
# One run that outlives tokens: dbt opens a connection for each model.
for number in range(4):
    path = Path("models", f"model_{number}.sql")
    path.write_text(path.read_text("utf-8").replace("pg_sleep(1)", f"pg_sleep({float(os.environ['SECONDS']) / 4})"))
subprocess.run(command, check=True)
print("done")
