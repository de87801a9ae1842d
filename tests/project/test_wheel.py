"""The wheel that `make wheel` built, in clean environments of every CPython on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_postgresql_auth.emulator import Emulator

WHEELS = sorted((Path(__file__).parents[2] / "dist").glob("*.whl"))
VERSIONS = [f"3.{minor}" for minor in range(9, 15)]

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
    """A CPython of this version that runs: on the PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    for candidate in filter(None, candidates):
        if not subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode:
            return candidate
    return None


def runs_alone(
    python: str, folder: Path, *install: str, emulator: Emulator, env: Mapping[str, str] = os.environ
) -> None:
    """Installs a distribution into an environment with nothing else, and logs in from there."""
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


@pytest.mark.skipif(not WHEELS, reason="`make wheel` has not been run")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_clean_environment(version: str, emulator: Emulator, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no CPython {version} here")
    runs_alone(python, tmp_path / "venv", "--no-index", str(WHEELS[-1]), emulator=emulator)


@pytest.mark.skipif(not WHEELS, reason="`make wheel` has not been run")
def test_what_it_holds() -> None:
    from zipfile import ZipFile

    names = ZipFile(WHEELS[-1]).namelist()
    assert any(name.endswith("_core.abi3.so") for name in names)
    assert {f"azure_postgresql_auth/{name}" for name in ("py.typed", "_core.pyi", "azure_roots.pem", "core.py")} <= set(
        names
    )
    assert not [name for name in names if name.startswith(("tests/", "benches/", "src/"))]
    assert "abi3" in WHEELS[-1].name
    assert WHEELS[-1].stat().st_size < 5_000_000
    scripts = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"azure-postgresql-auth=azure_postgresql_auth.cli:main" in ZipFile(WHEELS[-1]).read(scripts).replace(
        b" ", b""
    )


@pytest.mark.skipif(not WHEELS, reason="`make wheel` has not been run")
def test_it_has_the_licences_of_what_it_links() -> None:
    from zipfile import ZipFile

    with ZipFile(WHEELS[-1]) as wheel:
        texts = next(wheel.read(name) for name in wheel.namelist() if name.endswith("licenses/THIRD_PARTY_LICENSES"))
        metadata = next(wheel.read(name) for name in wheel.namelist() if name.endswith("METADATA")).decode()
    assert b"BoringSSL" in texts
    assert "License-Expression: MIT AND Apache-2.0 AND " in metadata


@pytest.mark.skipif(not WHEELS, reason="`make wheel` has not been run")
def test_it_tells_nothing_of_its_builder() -> None:
    from zipfile import ZipFile

    here = [f"{folder}/".encode() for folder in (Path.home(), Path(__file__).parents[2])]
    with ZipFile(WHEELS[-1]) as wheel:
        assert wheel.testzip() is None
        contents = {name: wheel.read(name) for name in wheel.namelist()}
    built = {name: content for name, content in contents.items() if name.endswith((".so", ".pyd", ".json"))}
    assert len(built) == 2
    assert not [name for name, content in built.items() if any(folder in content for folder in here)]
    assert sum(map(len, contents.values())) < 6_000_000
