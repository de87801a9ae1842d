"""The example's project runs as its reader would run it: commands, its own tests, an API that is called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.platforms import LIMIT

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

pytest.importorskip("oauth2_provider", reason="django-oauth-toolkit is not installed", exc_type=ImportError)

EXAMPLE = Path(__file__).parents[2] / "examples" / "django_project"
AZURE = "myserver.postgres.database.azure.com"


@pytest.mark.timeout(600)  # ten commands, each with its own timeout
def test_the_project(emulator: Emulator, tmp_path: Path) -> None:
    emulator.sql("DROP DATABASE IF EXISTS example")
    emulator.sql(f'CREATE DATABASE example OWNER "{emulator.identity.role}"')
    folder = shutil.copytree(EXAMPLE, tmp_path / "project")
    env = {name: value for name, value in os.environ.items() if name not in {"PGHOST", "PGDATABASE", "PGSSLMODE"}}
    env.update(PGHOSTADDR="127.0.0.1", POSTGRES_SERVER=AZURE, POSTGRES_DATABASE="example")

    def manage(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            env=env,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "no issues" in manage("check", "--database", "default")
    assert "Applying orders.0001_initial... OK" in manage("migrate")
    assert "No changes detected" in manage("makemigrations", "--check", "--dry-run", "orders")
    manage("shell", "-c", "from django.contrib.auth.models import User; User(id=1, username='billing').save()")
    printed = manage("createapplication", "confidential", "client-credentials", "--name", "billing", "--user", "1")
    assert "created successfully" in printed
    assert re.search(r"Ran 2 tests in .*\n\nOK\n", manage("test", "--noinput"))
    assert emulator.logins
    assert all(login.accepted and login.tls_version for login in emulator.logins)
    emulator.sql("DROP DATABASE example WITH (FORCE)")
