"""MLflow: its tracking server, by command line, and a client."""

import os
import sys

import mlflow
from serving import fetch, free_port, going_on, serving

port = free_port()
url = f"http://127.0.0.1:{port}"
command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
command += ["--backend-store-uri", os.environ["DATABASE_URL"], "--artifacts-destination", "artifacts"]
# Each session logs in, so that each token is used.
settings = {"MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool"}
with serving(command, lambda: fetch(f"{url}/health"), settings):
    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("tokens")
    for number in going_on():
        with mlflow.start_run():
            mlflow.log_metric("number", number)
    assert len(mlflow.search_runs(experiment_names=["tokens"], max_results=1000)) == number
print("done")
