"""Microsoft's azure-postgresql-auth in the same folder as ours: same import name, files of the same names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import azure_postgresql_auth
import pytest

from tests.support.wheels import WHEELS

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = Path(azure_postgresql_auth.__file__).parent
MICROSOFTS = "azure-postgresql-auth==1.1.0"
# The files of version 1.1.0 that a wheel of ours has too, and what ours would look for in them.
FILES = {
    "__init__.py": "__version__ = '1.1.0'\n",
    "core.py": "def get_entra_conninfo(credential): ...\n",
    "errors.py": "".join(
        f"class {name}(Exception): ...\n"
        for name in (
            "AzurePgEntraError",
            "TokenDecodeError",
            "UsernameExtractionError",
            "CredentialValueError",
            "EntraConnectionValueError",
            "ScopePermissionError",
        )
    ),
    "py.typed": "",
}
INCOMPLETE = "the installation of azure-postgresql-auth-rs is incomplete"
REMEDY = "pip uninstall azure-postgresql-auth azure-postgresql-auth-rs"
COMMAND_LINE = "import sys; from azure_postgresql_auth.cli import main; sys.exit(main())"


def run(python: str, site: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Without the environment's packages: Python prefers a complete package further along the path to a folder without
    # `__init__.py`.
    options = [] if site is None else ["-S"]
    environment = {**os.environ, "PYTHONPATH": "" if site is None else str(site)}
    return subprocess.run(
        [python, *options, "-c", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=100
    )


def check_incomplete(python: str, site: Path | None, modules: Sequence[str]) -> None:
    """All modules of this package raise an error with a remedy."""
    for module in modules:
        # `except Exception` catches it, as it would not a panic.
        script = f"try: import azure_postgresql_auth.{module}\nexcept Exception as error: print(type(error), error)"
        done = run(python, site, script)
        assert (done.returncode, done.stderr) == (0, ""), module
        assert done.stdout.startswith(f"<class 'ImportError'> {INCOMPLETE}"), module
        assert REMEDY in done.stdout
    for command, code in (("doctor", 10), ("token", 1)):
        done = run(python, site, COMMAND_LINE, command)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.count(INCOMPLETE) == 1
        assert done.stderr.count(REMEDY) == 1
        assert "Traceback" not in done.stderr


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Lay a copy of the package where Python finds it first."""
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_copied_distribution_works(site: Path) -> None:
    done = run(sys.executable, site, "import azure_postgresql_auth.identity as i; print(i.__file__)")
    assert done.stdout.startswith(str(site)), done.stderr
    assert run(sys.executable, site, "import azure_postgresql_auth.cli.dispatch").returncode == 0


def test_microsofts_package_is_installed_over_this_one(site: Path) -> None:
    for name, text in FILES.items():
        (site / PACKAGE.name / name).write_text(text)
    check_incomplete(sys.executable, site, ["identity", "service_connector"])


def test_microsofts_was_installed_before_ours(site: Path) -> None:
    """Python prefers its folder to our module, and it would send a token to a server that it has not verified."""
    folder = site / PACKAGE.name / "psycopg3"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .entra_connection import EntraConnection\n")
    (folder / "entra_connection.py").write_text(
        "from azure_postgresql_auth.core import get_entra_conninfo\nclass EntraConnection: ...\n"
    )
    check_incomplete(sys.executable, site, ["psycopg3", "identity", "core"])


def test_microsofts_was_uninstalled_after_ours(site: Path) -> None:
    for name in FILES:
        (site / PACKAGE.name / name).unlink()
    check_incomplete(sys.executable, site, ["identity", "service_connector"])


@pytest.mark.versions
@pytest.mark.skipif(not WHEELS, reason="`make wheel` has not been run")
@pytest.mark.parametrize("first", [MICROSOFTS, "ours"])
@pytest.mark.parametrize("removed", ["azure-postgresql-auth", "azure-postgresql-auth-rs"])
def test_pip(tmp_path: Path, first: str, removed: str) -> None:
    """Both installed and one uninstalled again, in both orders."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    python = str(tmp_path / "bin" / "python")

    def pip(*arguments: str) -> None:
        subprocess.run([python, "-m", "pip", "-q", "--disable-pip-version-check", *arguments], check=True)

    ours = str(WHEELS[-1])
    for package in (MICROSOFTS, ours) if first == MICROSOFTS else (ours, MICROSOFTS):
        pip("install", "--no-deps", package)
    doctor = subprocess.run([tmp_path / "bin/azure-postgresql-auth", "doctor"], capture_output=True, check=False)
    assert doctor.returncode == 10, doctor.stderr
    check_incomplete(python, None, ["identity"])
    pip("uninstall", "-y", removed)
    if removed == "azure-postgresql-auth":
        check_incomplete(python, None, ["identity"])
        pip("install", "--no-deps", "--force-reinstall", ours)
        assert run(python, None, "import azure_postgresql_auth.identity").returncode == 0
