"""The documentation's blocks run as they stand, and print what they show."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml  # type: ignore[import-untyped]
from azure_postgresql_auth.cli import parser

from tests.support.documentation import BLOCKS, PAGES, ROOT, Block, blocks, blocks_of, has_output, write_files

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

LANGUAGES = {"console", "ini", "python", "sql", "text", "toml", "yaml"}
AZURE = "myserver.postgres.database.azure.com"

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

# Every page of an application that needs no parameters is asked for. uvloop would resolve names past Python.
ASK_APPLICATION = """
import socket
import threading
import urllib.request

import uvicorn

with socket.create_server(("127.0.0.1", 0)) as listener:
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", loop="asyncio"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        for route in app.routes:
            if route.include_in_schema and "GET" in route.methods:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}{route.path}"
                print(urllib.request.urlopen(url, timeout=30).read())
    finally:
        server.should_exit = True
        thread.join()
"""

# The functions of Azure's extension, with its signatures.
PGAADAUTH = """
CREATE FUNCTION pgaadauth_create_principal(rolename text, isadmin boolean, ismfa boolean) RETURNS text
    RETURN rolename;
CREATE FUNCTION pgaadauth_create_principal_with_oid(
    rolename text, objectid text, objecttype text, isadmin boolean, ismfa boolean) RETURNS text RETURN rolename;
CREATE FUNCTION pgaadauth_list_principals(isadminvalue boolean) RETURNS TABLE (rolname name) RETURN (SELECT 'orders');
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


@pytest.mark.parametrize("block", blocks("python"))
def test_python_block_runs(block: Block, emulator: Emulator, azure_env: dict[str, str], tmp_path: Path) -> None:
    write_files(block, tmp_path)
    is_test = "\ndef test_" in block.text
    is_application = "app = FastAPI(" in block.text
    script = tmp_path / ("test_block.py" if is_test else "block.py")
    script.write_text(block.text + (ASK_APPLICATION if is_application else ""), "utf-8")
    command = [sys.executable, *(["-m", "pytest", "-q", "-p", "no:cacheprovider"] if is_test else []), str(script)]
    done = subprocess.run(command, env=azure_env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if AZURE in block.text:
        assert emulator.logins, "it did not get as far as the server"
        assert all(login.accepted for login in emulator.logins), emulator.logins
        assert "no login could be had" not in done.stdout


def commands_of(block: Block) -> list[list[str]]:
    """Return the words of each command line in a console block, up to a pipe or a redirection."""
    joined = block.text.replace("\\\n", " ")
    shown = [line.removeprefix("$ ") for line in joined.splitlines() if not has_output(block) or line.startswith("$ ")]
    commands: list[list[str]] = [[]]
    for line in shown:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        skip = False
        for word in lexer:
            if set(word) <= set("|&;"):
                commands.append([])
            elif set(word) <= set("<>"):
                skip = True  # a file follows
            elif not skip:
                commands[-1].append(word)
            else:
                skip = False
        commands.append([])
    return [command for command in commands if command]


@pytest.mark.parametrize("block", blocks("console"))
def test_console_block_names_what_exists(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    commands = commands_of(block)
    assert commands
    for words in commands:
        program, *arguments = [word for word in words if not re.match(r"[A-Z_]+=", word)] or ["export"]
        if program == "make":
            assert {word for word in arguments if "=" not in word} <= targets
        elif program == "azure-postgresql-auth" and not {"-h", "--help", "-V", "--version"} & set(arguments):
            parser.parse(arguments)  # ends the process with exit code 2 where it cannot


CONSOLE_WITH_OUTPUT = [
    pytest.param(block, id=f"{block.page}, line {block.line}")
    for block in BLOCKS
    if block.language == "console" and has_output(block)
]


@pytest.mark.parametrize("block", CONSOLE_WITH_OUTPUT)
def test_console_block_prints_what_it_shows(
    block: Block, emulator: Emulator, azure_env: dict[str, str], tmp_path: Path
) -> None:
    """`...` in the output stands for anything, in a line or for whole lines."""
    write_files(block, tmp_path)
    env = {**azure_env, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    for shown in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        end = re.search(r"(?<!\\)\n", shown)
        assert end
        done = subprocess.run(
            ["bash", "-c", shown[: end.start()]],
            env=env,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        expected = ".*?".join(map(re.escape, shown[end.end() :].strip().split("...")))
        assert re.fullmatch(expected, done.stdout.strip(), re.DOTALL), done.stdout


def test_every_block_says_what_it_is() -> None:
    assert {block.language for block in BLOCKS} <= LANGUAGES
    for page in PAGES:
        fences = re.findall(r"^ *```", page.read_text("utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(blocks_of(page)), page
    assert len(blocks("python")) > 20
    assert {block.page for block in BLOCKS if block.language == "python"} >= {
        "README.md",
        "docs/credentials.md",
        "docs/emulator.md",
        *(f"docs/drivers/{name}.md" for name in ("asyncpg", "core", "django", "psycopg2", "psycopg3", "sqlalchemy")),
    }


@pytest.mark.parametrize("block", blocks("sql"))
def test_sql_block_runs(block: Block, emulator: Emulator) -> None:
    """With stand-ins for the functions of Azure's extension, and the roles and tables that the pages speak of."""
    roles = sorted({"old_owner", *re.findall(r'TO "([^"]+)"', block.text)})
    emulator.sql("CREATE SCHEMA azure")
    try:
        emulator.sql(f"SET search_path = azure; {PGAADAUTH}")
        for role in roles:
            emulator.sql(f'CREATE ROLE "{role}"')
        for statement in filter(str.strip, re.sub(r"^--.*\n", "", block.text, flags=re.MULTILINE).split(";")):
            emulator.sql(f"SET search_path = azure; {statement}")
    finally:
        emulator.sql("DROP SCHEMA azure CASCADE")
        for role in roles:
            emulator.sql(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


@pytest.mark.parametrize("block", blocks("yaml"))
def test_yaml_block_is_yaml(block: Block) -> None:
    assert all(yaml.safe_load_all(block.text))
