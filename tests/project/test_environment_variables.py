"""The documentation has every environment variable that the package reads."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/environment.md").read_text("utf-8")
NAME = re.compile(
    r'"((?:ACC|ALL|AZURE|CURL|HTTPS?|IDENTITY|IMDS|LISTEN|MSI|NO|NOTIFY|PG|REQUESTS|SSL|SYSTEM|XDG)[A-Z]*(?:_[A-Z0-9_]*[A-Z0-9])?)"'
)
NOT_READ = {
    # Names in code.
    "AZURE_DB_FOR_POSTGRES_SCOPE",
    "AZURE_MANAGEMENT_SCOPE",
    "AZURE_ROOTS",
    "NO_MODULE",
    "NO_PROTOCOLS_AVAILABLE",
    "SSL",
    # Set for the programs that are run, or removed from their environments.
    "AZURE_CORE_NO_COLOR",
    "PGCHANNELBINDING",
    "PGREQUIREAUTH",
    "PGSSLNEGOTIATION",
    # Only kept out of what is shown.
    "SYSTEM_ACCESSTOKEN",
    # The beginning of names.
    "AZURE_POSTGRESQL",
}


def named() -> set[str]:
    """Return the names of variables in the sources, but for those of tests and of the emulator."""
    rust = [path.read_text("utf-8").partition("#[cfg(test)]\nmod tests")[0] for path in (ROOT / "src").rglob("*.rs")]
    package = ROOT / "python/azure_postgresql_auth"
    python = [path.read_text("utf-8") for path in package.rglob("*.py") if "emulator" not in path.parts]
    return set(NAME.findall("".join(rust + python))) - NOT_READ


def test_the_page_has_every_variable() -> None:
    names = named()
    assert {"AZURE_CLIENT_ID", "AZURE_POSTGRESQL_AUTH_CACHE_DIR", "IDENTITY_ENDPOINT", "PGSSLMODE"} <= names
    assert sorted(name for name in names if f"`{name}`" not in PAGE) == []


def test_the_page_has_no_variable_that_is_not_read() -> None:
    """Those that libraries read for it aside."""
    by_libraries = {"ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "PGPASSFILE"}
    made = {"AZURE_POSTGRESQL_AUTH_PROXY_LISTEN", "AZURE_POSTGRESQL_NAME"}  # of a beginning and the name of something
    shown = {name for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", PAGE) if "_" in name or name.startswith("PG")}
    assert sorted(shown - named() - by_libraries - made) == []
