"""The wheel that `make wheel` built, and the CPythons of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_postgresql_auth.emulator import Emulator


WHEELS = sorted((Path(__file__).parents[2] / "dist").glob("*.whl"))
VERSIONS = [f"3.{minor}" for minor in range(9, 16)]
SCRIPT = """
import asyncio, os, threading
from azure_postgresql_auth import core, errors, identity
assert "site-packages" in core.__file__
user = core.get_entra_conninfo()["user"]
assert asyncio.run(core.get_entra_conninfo_async(identity.ManagedIdentityCredential()))["user"] == user
assert core.decode_jwt(core.get_entra_token())["aud"].startswith("https://ossrdbms-aad")
try:
    identity.EnvironmentCredential().get_token("x/.default")
except errors.EntraConnectionValueError as error:
    assert "AZURE_TENANT_ID" in str(error)
assert os.path.exists(os.path.join(os.path.dirname(core.__file__), "azure_roots.pem"))
assert os.path.exists(os.path.join(os.path.dirname(core.__file__), "py.typed"))
print(user)
"""


def interpreter(version: str) -> str | None:
    """Return a working CPython of this version, on the PATH or of pyenv; None if none is installed."""
    if sys.platform == "win32":
        # CPythons have no such names there; what has one below Wine is a program for Linux.
        return None
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    for candidate in filter(None, candidates):
        if not subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode:
            return candidate
    return None


def runs_alone(
    python: str, folder: Path, *install: str, emulator: Emulator, env: Mapping[str, str] = os.environ
) -> None:
    """Installs a distribution into an empty environment, and logs in from there."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    clean = folder / "bin" / "python"
    subprocess.run(
        [clean, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *install], env=env, check=True
    )
    done = subprocess.run(
        [clean, "-I", "-c", SCRIPT],
        env={**os.environ, **emulator.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (emulator.identity.name, "")
