"""Run the command line as a shell does."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Callable

import pytest

from tests.support.platforms import LIMIT

Run = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-m", "azure_postgresql_auth"]
LOGIN = (
    "import psycopg, sys\n"
    "with psycopg.connect(sys.argv[1] if len(sys.argv) > 1 else '') as connection:\n"
    "    print(connection.execute('SELECT session_user').fetchone()[0])"
)


@pytest.fixture
def cli() -> Run:
    """Run `azure-postgresql-auth` in this process's environment; `env` adds variables or, with None, removes them."""

    def run(*arguments: str, env: dict[str, str | None] | None = None, **options: Any) -> Any:
        variables = {**os.environ, "PYTHONWARNINGS": "error", **(env or {})}
        return subprocess.run(
            [*COMMAND, *arguments],
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            **options,
        )

    return run
