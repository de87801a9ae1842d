"""procrastinate in a Django project: its worker, and jobs that are deferred by Django."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

host, _, database = os.environ["PLACE"].partition("/")
server, _, port = host.partition(":")
FILES = {
    "settings.py": f"""
        DATABASES = {{
            "default": {{
                "ENGINE": "azure_postgresql_auth.django", "HOST": {server!r}, "PORT": {port!r}, "NAME": {database!r}
            }}
        }}
        INSTALLED_APPS = ["procrastinate.contrib.django", "orders"]
        SECRET_KEY = "no secret"
        PROCRASTINATE_ON_APP_READY = "orders.worker.on_app_ready"
    """,
    "orders/__init__.py": "",
    "orders/tasks.py": """
        from procrastinate.contrib.django import app

        @app.task
        def count(number):
            from procrastinate.contrib.django.models import ProcrastinateJob
            return ProcrastinateJob.objects.count()
    """,
    "orders/worker.py": """
        from azure_postgresql_auth.psycopg3 import AsyncEntraConnection
        from procrastinate import PsycopgConnector
        from procrastinate.contrib.django.utils import connector_params


        def worker_connector():
            return PsycopgConnector(kwargs=connector_params(), connection_class=AsyncEntraConnection)


        def on_app_ready(app):
            app.connector.get_worker_connector = worker_connector
    """,
}
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
for name, text in FILES.items():
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(textwrap.dedent(text), "utf-8")
sys.path.insert(0, str(Path.cwd()))
DJANGO = [sys.executable, "-m", "django"]
os.environ["PYTHONPATH"] += os.pathsep + str(Path.cwd())
subprocess.run([*DJANGO, "migrate", "--verbosity", "0"], check=True)

import django  # noqa: E402

django.setup()
from django.db import connection  # noqa: E402
from orders.tasks import count  # noqa: E402
from procrastinate.contrib.django.models import ProcrastinateJob  # noqa: E402

with subprocess.Popen([*DJANGO, "procrastinate", "worker"]) as worker:
    end = time.monotonic() + float(os.environ["SECONDS"])
    number = 0
    while time.monotonic() < end or ProcrastinateJob.objects.filter(status="succeeded").count() < number:
        assert worker.poll() is None
        if time.monotonic() < end:
            count.defer(number=number)
            number += 1
        connection.close()
        time.sleep(0.3)
    worker.terminate()
print("done")
