"""The documentation has every environment variable that the sources read."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/environment.md").read_text("utf-8")
_NAME = re.compile(r"(?:AZURE|IDENTITY|IMDS|MSI|SYSTEM|SSL|CURL|REQUESTS|PG|LISTEN|NOTIFY)_?[A-Z_]{2,}")
_NOT_READ = {
    # Set for the command lines that are run, or removed for programs.
    "AZURE_CORE_NO_COLOR",
    "PGCHANNELBINDING",
    "PGREQUIREAUTH",
    "PGSSLNEGOTIATION",
    # Azure Pipelines' token, which the doctor keeps out of its report.
    "SYSTEM_ACCESSTOKEN",
    # Prefixes, and names of this package's constants.
    "AZURE_DB_FOR_POSTGRES_SCOPE",
    "AZURE_MANAGEMENT_SCOPE",
    "AZURE_POSTGRESQL",
    "AZURE_POSTGRESQL_AUTH_PROXY_",
    "AZURE_ROOTS",
}


def literals() -> set[str]:
    """Return the texts in the sources that are a variable's name and nothing else."""
    found = set()
    for path in (ROOT / "src").rglob("*.rs"):
        code = path.read_text("utf-8").partition("#[cfg(test)]")[0]
        found |= set(re.findall(r'"([A-Z_]+)"', code))
    package = ROOT / "python/azure_postgresql_auth"
    for path in package.rglob("*.py"):
        if (package / "emulator") in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return {name for name in found if _NAME.fullmatch(name)}


def test_every_variable_is_documented() -> None:
    names = literals() - _NOT_READ
    assert {"AZURE_CLIENT_ID", "PGSSLMODE", "AZURE_POSTGRESQL_AUTH_CACHE_DIR"} <= names
    missing = {name for name in names if f"`{name}`" not in PAGE}
    assert not missing
