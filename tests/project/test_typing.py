"""What type checkers make of programs that use the drivers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

# `reveal_type` needs no import: type checkers know it, and nobody runs this.
GOOD = """
import psycopg
from azure_postgresql_auth import asyncpg, core, psycopg2
from azure_postgresql_auth.identity import ManagedIdentityCredential, aio
from azure_postgresql_auth.psycopg3 import AsyncEntraConnection, EntraConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

one = ManagedIdentityCredential()
rows = EntraConnection.connect("dbname=x", row_factory=dict_row, credential=one, autocommit=True)
reveal_type(rows)
plain = EntraConnection.connect(host="x", port=5432, scope="s", allow_insecure_transport=True)
reveal_type(plain)
options = {"row_factory": dict_row}
pool = ConnectionPool("dbname=x", connection_class=EntraConnection[DictRow], kwargs=options, open=False)
reveal_type(pool.getconn())
old = psycopg2.EntraConnection("dbname=x", credential=one)
reveal_type(old)
reveal_type(psycopg2.EntraConnection.connect("dbname=x"))


async def main() -> None:
    two = aio.ManagedIdentityCredential()
    some = await AsyncEntraConnection.connect("dbname=x", credential=two, row_factory=dict_row)
    reveal_type(some)
    await asyncpg.connect("postgresql://x/y", credential=one)
    asyncpg.create_pool("postgresql://x/y", credential=aio.ManagedIdentityCredential(), min_size=1)
    reveal_type(await core.get_entra_token_async(aio.ManagedIdentityCredential()))
"""
REVEALED = [
    "azure_postgresql_auth.psycopg3.EntraConnection[dict[str, Any]]",
    "azure_postgresql_auth.psycopg3.EntraConnection[tuple[Any, ...]]",
    "azure_postgresql_auth.psycopg3.EntraConnection[dict[str, Any]]",
    "azure_postgresql_auth.psycopg2.EntraConnection",
    "azure_postgresql_auth.psycopg2.EntraConnection",
    "azure_postgresql_auth.psycopg3.AsyncEntraConnection[dict[str, Any]]",
    "str",
]
BAD = """
from azure_postgresql_auth import core, psycopg2
from azure_postgresql_auth.identity import aio
from azure_postgresql_auth.psycopg3 import EntraConnection

EntraConnection.connect("dbname=x", credential=42)
EntraConnection.connect("dbname=x", credential=aio.ManagedIdentityCredential())
EntraConnection.connect("dbname=x", scope=1)
psycopg2.EntraConnection("dbname=x", credential="managed identity")
core.get_entra_token(object())
"""


def checked(path: Path, program: str) -> str:
    path.write_text(program, "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--ignore-missing-imports", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent).stdout


def test_rows_and_credentials_have_types(tmp_path: Path) -> None:
    output = checked(tmp_path / "program.py", GOOD)
    assert "error:" not in output, output
    # How mypy writes names of builtins depends on its version.
    assert [found.replace("builtins.", "") for found in re.findall(r'Revealed type is "(.*)"', output)] == REVEALED


def test_pyright_agrees(tmp_path: Path) -> None:
    pytest.importorskip("basedpyright", reason="needs `pip install basedpyright`")
    for name, program in {"good": GOOD, "bad": BAD}.items():
        (tmp_path / f"{name}.py").write_text(program, "utf-8")
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}', "utf-8")
    command = [
        sys.executable,
        "-m",
        "basedpyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        "-p",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = {
        (Path(each["file"]).name, each["range"]["start"]["line"]) for each in found if each["severity"] == "error"
    }
    assert errors == {("bad.py", number) for number, line in enumerate(BAD.splitlines()) if "(" in line}
    revealed = [re.search(r' is "(.*)"', each["message"]) for each in found if each["severity"] == "information"]
    types = [kind.rpartition("psycopg3.")[2].rpartition("psycopg2.")[2] for kind in REVEALED]
    assert [match[1] for match in revealed if match] == types


def test_what_is_no_credential_is_an_error(tmp_path: Path) -> None:
    output = checked(tmp_path / "program.py", BAD)
    wrong = [number for number, line in enumerate(BAD.splitlines(), 1) if "(" in line]
    assert sorted({int(line) for line in re.findall(r"program\.py:(\d+): error:", output)}) == wrong
