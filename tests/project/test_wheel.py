"""The wheel that `make wheel` built, in clean environments of every CPython on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.wheels import VERSIONS, WHEELS, interpreter, runs_alone

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


@pytest.mark.skipif(not WHEELS, reason="`make wheel` has not been run")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_clean_environment(version: str, emulator: Emulator, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no CPython {version} here")
    runs_alone(python, tmp_path / "venv", "--no-index", str(WHEELS[-1]), emulator=emulator)


@pytest.mark.skipif(not WHEELS, reason="`make wheel` has not been run")
def test_files_of_the_wheel() -> None:
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
def test_wheel_reveals_nothing_of_its_builder() -> None:
    from zipfile import ZipFile

    here = [f"{folder}/".encode() for folder in (Path.home(), Path(__file__).parents[2])]
    with ZipFile(WHEELS[-1]) as wheel:
        assert wheel.testzip() is None
        contents = {name: wheel.read(name) for name in wheel.namelist()}
    built = {name: content for name, content in contents.items() if name.endswith((".so", ".pyd", ".json"))}
    assert len(built) == 2
    assert not [name for name, content in built.items() if any(folder in content for folder in here)]
    assert sum(map(len, contents.values())) < 6_000_000
