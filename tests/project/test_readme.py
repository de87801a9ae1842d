"""The README is true where a machine can tell: its Python runs as it stands, what it names exists."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PYTHON_BLOCKS = [
    pytest.param(match[1], id=f"line {README.count(chr(10), 0, match.start()) + 1}")
    for match in re.finditer(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
]
AZURE = "myserver.postgres.database.azure.com"
PUBLIC_MODULES = (
    "asyncpg",
    "core",
    "emulator",
    "errors",
    "identity",
    "psycopg2",
    "psycopg3",
    "service_connector",
    "sqlalchemy",
)

# libpq is led to the emulator by PGHOSTADDR; for drivers that resolve names in Python, Python does it at its start.
LEAD_THE_WAY = f"""
import socket
resolve = socket.getaddrinfo
def here(host, *arguments, **keywords):
    if host in ({AZURE!r}, {AZURE.encode()!r}):
        host = "127.0.0.1"
    return resolve(host, *arguments, **keywords)
socket.getaddrinfo = here
"""


@pytest.fixture
def azure_env(emulator: Emulator, tmp_path: Path) -> dict[str, str]:
    """Make `myserver.postgres.database.azure.com` the emulator, whose certificate bears that name too."""
    emulator.add_group("orders-team", [emulator.identity])
    start = tmp_path / "start"
    start.mkdir()
    (start / "sitecustomize.py").write_text(LEAD_THE_WAY, "utf-8")
    env = {name: value for name, value in os.environ.items() if name not in {"PGHOST", "PGSSLMODE"}}
    env["AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS"] = f"{AZURE}:{emulator.port}"
    return {**env, "PGHOSTADDR": "127.0.0.1", "PYTHONPATH": str(start), "PYTHONWARNINGS": "error"}


@pytest.mark.parametrize("block", PYTHON_BLOCKS)
def test_python_block_runs(block: str, emulator: Emulator, azure_env: dict[str, str], tmp_path: Path) -> None:
    is_test = "\ndef test_" in block
    script = tmp_path / ("test_block.py" if is_test else "block.py")
    script.write_text(block, "utf-8")
    command = [sys.executable, *(["-m", "pytest", "-q", "-p", "no:cacheprovider"] if is_test else []), str(script)]
    done = subprocess.run(command, env=azure_env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if AZURE in block:
        assert emulator.logins, "it did not get as far as the server"
        assert all(login.accepted for login in emulator.logins), emulator.logins
        assert "no login could be had" not in done.stdout


def test_every_block_says_what_it_is() -> None:
    languages = re.findall(r"^```(\S*)$", README, re.MULTILINE)[::2]
    assert set(languages) == {"python", "console", "sql", "text"}
    assert len(PYTHON_BLOCKS) == languages.count("python") > 5


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test", "wheel"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_extras_exist() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    named = {extra for extras in re.findall(r"\.whl\)\[([a-z0-9,]+)\]", README) for extra in extras.split(",")}
    in_table = set(
        re.findall(r"^\| `([a-z0-9]+)` \|", README.partition("| extra |")[2].partition("\n\n")[0], re.MULTILINE)
    )
    extras = pyproject.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    assert in_table == set(re.findall(r"^([a-z0-9]+) = \[", extras, re.MULTILINE))
    assert {"emulator", "sqlalchemy"} < named <= in_table


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_changelog_names_everything_public(name: str) -> None:
    module = importlib.import_module(f"azure_postgresql_auth.{name}")
    defined = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    public = getattr(module, "__all__", [key for key in defined if not key.startswith("_")])
    assert public
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    entry = re.search(rf"^- `azure_postgresql_auth\.{name}`.*?(?=^- |\Z)", changelog, re.DOTALL | re.MULTILINE)
    assert entry
    assert [key for key in public if f"`{key}`" not in entry[0]] == []
