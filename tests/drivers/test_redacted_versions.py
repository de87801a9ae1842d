"""The traceback of a failed connection on every installed CPython; `raise` changes it differently before 3.11."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.wheels import VERSIONS, interpreter

# These CPythons have no drivers. A function that fails stands in for one, and its frame must not be in the traceback.
SCRIPT = """
import asyncio
from types import SimpleNamespace
from azure_postgresql_auth._engine.connect import connect, connect_async

plan = SimpleNamespace(has_credentials=True, arguments=lambda: {"password": "token"})

def attempt(arguments):
    dsn = "password=" + arguments["password"]
    raise OSError("refused")

async def attempt_async(arguments):
    attempt(arguments)

for login in (
    lambda: connect(plan, None, None, attempt),
    lambda: asyncio.run(connect_async(plan, None, None, attempt_async)),
):
    try:
        login()
    except OSError as error:
        print(error)
        frame = error.__traceback__
        while frame is not None:
            # `plan` is this script's own.
            print(frame.tb_frame.f_code.co_name, "token" in repr({**frame.tb_frame.f_locals, "plan": None}))
            frame = frame.tb_next
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_no_frame_of_the_error_has_the_password(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"CPython {version} is not installed")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "python")}
    done = subprocess.run([python, "-B", "-c", SCRIPT], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout.count("refused"), done.stderr) == (2, "")
    assert "attempt" not in done.stdout
    assert "True" not in done.stdout
