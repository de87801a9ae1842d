"""The table of environment variables and the sources have the same ones."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import environment_variables
from azure_postgresql_auth import _core

ROOT = Path(__file__).parents[2]
TABLE = {name for _, name, *_ in _core.environment_variables()}
NAME = re.compile(
    r"(?:ACC|ALL|APPDATA|AZURE|CURL|HOME|HTTPS?|IDENTITY|IMDS|LISTEN|MSI|NO|NOTIFY|PATH|PG|REQUESTS|SSL|SYSTEM|TERM|XDG)"
    r"[A-Z]*(?:_[A-Z0-9_]*)?|ProgramData|SystemRoot"
)
NOT_READ = {
    # Names in code.
    "AZURE_DB_FOR_POSTGRES_SCOPE",
    "AZURE_MANAGEMENT_SCOPE",
    "AZURE_ROOTS",
    "HOST",
    "NO_MODULE",
    "NO_PROTOCOLS_AVAILABLE",
    "SSL",
    # Set for the programs that are run, or removed from their environments.
    "AZURE_CORE_NO_COLOR",
    "PGCHANNELBINDING",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGSSLCERTMODE",
    "PGSSLNEGOTIATION",
    # Only kept out of what is shown.
    "SYSTEM_ACCESSTOKEN",
    # Beginnings of names.
    "AZURE_",
    "AZURE_POSTGRESQL",
    "IDENTITY_",
    "IMDS_",
    "LISTEN_",
    "MSI_",
    "NOTIFY_",
    "PG",
}


def rust() -> str:
    """Return the Rust sources without their tests, the fuzzer's targets and the table."""
    others = {"variables.rs", "tests.rs", "fuzz.rs"}
    paths = [path for path in (ROOT / "src").rglob("*.rs") if path.name not in others]
    return "".join(path.read_text("utf-8").partition("#[cfg(test)]\nmod tests {")[0] for path in paths)


def python_texts() -> set[str]:
    """Return the texts in the Python sources; the emulator's are independent of the library."""
    package = ROOT / "python/azure_postgresql_auth"
    paths = [path for path in package.rglob("*.py") if package / "emulator" not in path.parents]
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def by_prefix() -> set[str]:
    """Return the names that are put together from a beginning and an end."""
    text = (ROOT / "python/azure_postgresql_auth/service_connector.py").read_text("utf-8")
    ends = {"CONNECTIONSTRING", *re.findall(r'"([A-Z]+)"', text)}
    joined = {f"AZURE_POSTGRESQL_{end}" for end in ends}
    return {*joined, "POSTGRESQLCONNSTR_AZURE_POSTGRESQL_CONNECTIONSTRING", "AZURE_POSTGRESQL_AUTH_PROXY_*"}


def test_what_the_code_reads_is_in_the_table() -> None:
    read = {text for text in python_texts() if NAME.fullmatch(text)}
    assert {"AZURE_TENANT_ID", "AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS", "PGUSER"} <= read
    assert sorted(read - TABLE - NOT_READ - {"AZURE_POSTGRESQL_AUTH_PROXY_"}) == []


def test_rust_code_takes_names_from_the_table() -> None:
    texts = {text for text in re.findall(r'"([^"\n]+)"', rust()) if NAME.fullmatch(text)}
    # Colours are switched off for the tools that are run.
    assert sorted(texts - NOT_READ) == ["NO_COLOR"]


def test_what_is_in_the_table_is_read() -> None:
    constants = set(re.findall(r"\b[A-Za-z_]+\b", re.sub(r"//.*", "", rust())))
    assert sorted(TABLE - constants - python_texts() - by_prefix()) == []


def test_the_page_has_the_table() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", environment_variables.page(), re.MULTILINE)
    assert {name for name, _ in rows} == TABLE
    for name, rest in rows:
        meaning, _default, reader, source = (cell.strip() for cell in rest.split(" | "))
        assert meaning, name
        assert reader, name
        assert source, name
