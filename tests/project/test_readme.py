"""The documentation is true where a machine can tell: its blocks run as they stand, what it names exists."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import finish
import pytest
import repository
from azure_postgresql_auth.cli import parser

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

ROOT = Path(__file__).parents[2]
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md", "benches/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, also those in lists."""
    text = page.read_text("utf-8")
    return [
        Block(
            page.relative_to(ROOT).as_posix(),
            text.count("\n", 0, match.start()) + 1,
            match["language"],
            re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
        )
        for match in re.finditer(
            r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", text, re.DOTALL | re.MULTILINE
        )
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
LANGUAGES = {"console", "ini", "python", "sql", "text", "yaml"}


def blocks(language: str) -> list[object]:
    """Return those of a language, for `parametrize`."""
    return [
        pytest.param(block, id=f"{block.page}, line {block.line}") for block in BLOCKS if block.language == language
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


@pytest.mark.parametrize("block", blocks("python"))
def test_python_block_runs(block: Block, emulator: Emulator, azure_env: dict[str, str], tmp_path: Path) -> None:
    is_test = "\ndef test_" in block.text
    script = tmp_path / ("test_block.py" if is_test else "block.py")
    script.write_text(block.text, "utf-8")
    command = [sys.executable, *(["-m", "pytest", "-q", "-p", "no:cacheprovider"] if is_test else []), str(script)]
    done = subprocess.run(command, env=azure_env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if AZURE in block.text:
        assert emulator.logins, "it did not get as far as the server"
        assert all(login.accepted for login in emulator.logins), emulator.logins
        assert "no login could be had" not in done.stdout


def commands_of(block: Block) -> list[list[str]]:
    """The words of each command line that a console block shows; pipes and redirections end one."""
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


def has_output(block: Block) -> bool:
    """Whether a block shows prompts, and so what each command prints."""
    return block.text.startswith("$ ")


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


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert {"demo", "docs", "test", "wheel"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_extras_exist() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    install = (ROOT / "docs/install.md").read_text("utf-8")
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = {extra for extras in re.findall(r"\.whl\)\[([a-z0-9,]+)\]", text) for extra in extras.split(",")}
    in_table = set(
        re.findall(r"^\| `([a-z0-9]+)` \|", install.partition("| extra |")[2].partition("\n\n")[0], re.MULTILINE)
    )
    extras = pyproject.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    assert in_table == set(re.findall(r"^([a-z0-9]+) = \[", extras, re.MULTILINE))
    assert {"emulator", "sqlalchemy"} < named <= in_table


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """In the repository. `make docs` checks those of the site, with their anchors."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    made = {"reference/command-line.md", "error-codes.md", "changelog.md"}  # by `make docs`
    assert [link for link in links if not (page.parent / link).is_file() and link not in made] == []


PAGE = """\
See [the `[a]` page](docs/tls.md#modes), [docs](docs/), [elsewhere](https://example.org) and [below](#why).
![chart](benches/charts/startup.svg)
```text
[not a link](docs/tls.md)
```
"""


def test_what_pypi_shows_has_absolute_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "url", lambda: "https://example.org/owner/name/")
    metadata = finish.linked(f"Name: x\n\n{PAGE}".encode()).decode()
    assert metadata == f"Name: x\n\n{PAGE}".replace(
        "(docs/tls.md#modes)", "(https://example.org/owner/name/blob/main/docs/tls.md#modes)"
    ).replace("(docs/)", "(https://example.org/owner/name/tree/main/docs/)").replace(
        "(benches/", "(https://example.org/owner/name/raw/main/benches/"
    )


def test_what_pypi_shows_has_no_dead_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository may have no address; then there are texts instead."""
    monkeypatch.setattr(repository, "url", lambda: None)
    assert finish.linked(f"Name: x\n\n{PAGE}".encode()).decode().partition("```")[0] == (
        "Name: x\n\nSee the `[a]` page, docs, [elsewhere](https://example.org) and [below](#why).\n\n"
    )


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
