"""MLflow: its tracking server, by command line, and a client."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import mlflow

with socket.create_server(("127.0.0.1", 0)) as listener:
    port = listener.getsockname()[1]
command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
command += ["--backend-store-uri", os.environ["DATABASE_URL"], "--artifacts-destination", "artifacts"]
# Connections that are soon renewed, so that each token is used.
settings = {"MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool"}
with subprocess.Popen(command, env={**os.environ, **settings}) as server:
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and server.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(0.5)
        mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
        mlflow.set_experiment("tokens")
        end, number = time.monotonic() + float(os.environ["SECONDS"]), 0
        while time.monotonic() < end:
            with mlflow.start_run():
                mlflow.log_metric("number", number)
            number += 1
        assert len(mlflow.search_runs(experiment_names=["tokens"], max_results=1000)) == number
    finally:
        server.terminate()
    server.wait(30)
print("done")
