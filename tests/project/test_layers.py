"""What imports what, and what is public."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path

import azure_postgresql_auth
import pytest
from azure_postgresql_auth import asyncpg, core, errors, identity, psycopg2, psycopg3, service_connector, sqlalchemy
from azure_postgresql_auth.identity import aio

PACKAGE = Path(azure_postgresql_auth.__file__).parent
SOURCES = Path(__file__).parents[2] / "src"

# Each module may import those of the lines below its own.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"django", "sqlalchemy", "emulator"},
    {"psycopg2", "psycopg3", "asyncpg", "service_connector"},
    {"identity"},
    {"core"},
    {"_engine", "_plugin_hosts", "_precedence", "tls"},
    {"_core"},
    {"errors", "_conninfo", "_redacted", "_shapes"},
]
ENGINE_LAYERS = [
    {"connect"},
    {"registry", "waiting"},
    {"fallback", "outage"},
    {"external", "log", "proactor", "refusal"},
]
RUST_LAYERS = [
    {"py", "fuzz"},
    {"proxy"},
    {"credential"},
    {"login"},
    {"cache", "connection"},
    {"platform"},
    {"error"},
]


def imported_by(module: str, package: str = "azure_postgresql_auth") -> set[str]:
    """Return the modules of a package that a module of this package imports anywhere in its code."""
    path = PACKAGE / f"{module}.py"
    paths = [path] if path.is_file() else (PACKAGE / module).rglob("*.py")
    found: set[str] = set()
    for node in (node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8")))):
        if isinstance(node, ast.ImportFrom) and (
            node.module == package or (node.module or "").startswith(f"{package}.")
        ):
            inner = (node.module or "").removeprefix(package).split(".")[1:]
            found |= set(inner[:1]) if inner else {alias.name for alias in node.names}
    return found


def below(layers: list[set[str]], module: str) -> set[str]:
    place = next(index for index, layer in enumerate(layers) if module in layer)
    return set().union(*layers[place:])


MODULES = [
    *(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"),
    *(
        str(path.relative_to(PACKAGE).with_suffix(""))
        for folder in ("_engine", "cli", "django", "identity", "sqlalchemy")
        for path in PACKAGE.glob(f"{folder}/**/*.py")
    ),
]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module: str) -> None:
    assert imported_by(module) <= below(LAYERS, module.partition("/")[0])


@pytest.mark.parametrize("module", sorted(set().union(*ENGINE_LAYERS)))
def test_imports_of_the_engine_go_down(module: str) -> None:
    assert imported_by(f"_engine/{module}", "azure_postgresql_auth._engine") <= below(ENGINE_LAYERS, module)


def test_the_emulator_imports_nothing_else_of_the_package() -> None:
    assert imported_by("emulator") == {"emulator"}
    assert imported_by("emulator/identity", "azure_postgresql_auth.emulator") <= {"identity", "records", "values"}


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.rs")), ids=lambda path: str(path.relative_to(SOURCES)))
def test_rust_imports_go_down(path: Path) -> None:
    module = path.relative_to(SOURCES).parts[0].removesuffix(".rs")
    if module == "lib":
        return
    # Tests beside the code may look up, for clocks that they set.
    text = path.read_text("utf-8").split("#[cfg(test)]\nmod tests {")[0]
    named = set(re.findall(r"crate::(\w+)", text))
    for group in re.findall(r"use crate::\{(.*?)\};", text, re.DOTALL):
        while "{" in group:
            group = re.sub(r"\{[^{}]*\}", "", group)  # noqa: PLW2901 - what is nested in a module is not one
        named |= set(re.findall(r"(?:^|,)\s*(\w+)", group))
    assert named <= below(RUST_LAYERS, module)
    if module != "py":
        assert "pyo3" not in text


def test_the_package_imports_nothing() -> None:
    script = (
        "import sys; before = set(sys.modules)\n"
        "import azure_postgresql_auth.core, azure_postgresql_auth.errors\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in printed if name.startswith("azure_postgresql_auth")}
    assert ours == {
        "azure_postgresql_auth",
        *(
            f"azure_postgresql_auth.{name}"
            for name in (
                "_core",
                "_engine",
                "_engine.external",
                "_engine.fallback",
                "_engine.log",
                "_engine.registry",
                "_engine.waiting",
                "_redacted",
                "core",
                "errors",
            )
        ),
    }
    # Start-up is counted in modules: these cost milliseconds each.
    assert not set(printed) & {"asyncio", "inspect", "json", "logging", "re", "socket", "ssl", "typing"}


def test_the_command_line_loads_what_its_command_needs() -> None:
    script = (
        "import sys, io; before = set(sys.modules); sys.stdin = io.StringIO('a.e30.b')\n"
        "from azure_postgresql_auth.cli import main\n"
        "main(['inspect', '-', '--json'])\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stderr.split()
    assert "azure_postgresql_auth.cli.inspect" in loaded
    commands = {f"azure_postgresql_auth.cli.{name}" for name in ("token", "exec", "emulator", "doctor", "pgbouncer")}
    others = {"psycopg", "psycopg2", "asyncpg", "anyio", "shtab", "asyncio", "logging", "ssl", "subprocess"}
    assert not (commands | others) & set(loaded)


def test_public_names_exist_and_say_what_they_are() -> None:
    assert set(core.__all__) >= {"get_entra_token", "get_entra_conninfo", "decode_jwt", "parse_principal_name"}
    for module in (core, identity, aio, psycopg2, psycopg3, asyncpg, service_connector, sqlalchemy):
        for name in module.__all__:
            found = getattr(module, name)
            if callable(found):
                assert inspect.getdoc(found), name
                assert not re.search(r"(^|\.)_", found.__module__), f"{name} is shown as {found.__module__}'s"


def test_the_error_tree_is_as_drawn() -> None:
    drawn = re.findall(r"^\s*((?:\|  )*)\+- (\w+)", errors.__doc__ or "", re.MULTILINE)
    parents = ["AzurePgEntraError"]
    for indent, name in drawn:
        depth = len(indent) // 3 + 1
        assert getattr(errors, name).__bases__ == (getattr(errors, parents[depth - 1]),)
        parents[depth:] = [name]
    classes = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, BaseException)}
    assert classes == {"AzurePgEntraError", *(name for _, name in drawn)}


@pytest.mark.parametrize(
    ("extra", "driver"),
    [
        ("psycopg3", "psycopg"),
        ("psycopg2", "psycopg2"),
        ("asyncpg", "asyncpg"),
        ("django", "django"),
        ("sqlalchemy", "sqlalchemy"),
        ("emulator", "jwt"),
    ],
)
def test_a_missing_package_names_the_extra(extra: str, driver: str) -> None:
    script = (
        f"import sys; sys.modules[{driver!r}] = None\n"
        f"try: import azure_postgresql_auth.{extra}\n"
        f"except ImportError as error: print(error)"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert f"pip install 'azure-postgresql-auth-rs[{extra}]'" in printed


def test_version() -> None:
    assert importlib.import_module("azure_postgresql_auth").__version__ == "0.1.0"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = azure_postgresql_auth.nothing


def test_version_of_a_package_that_was_just_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert importlib.import_module("azure_postgresql_auth").__version__ == "0+unknown"
