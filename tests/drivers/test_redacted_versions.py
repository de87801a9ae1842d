"""On every CPython here, an error comes without the driver's frames; `raise` treats them differently in each."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.wheels import VERSIONS, interpreter

# No driver is installed there: whatever raises in its place has to go.
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
