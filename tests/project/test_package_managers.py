"""The settings that keep Microsoft's distribution out of an environment do so (docs/migrating.md)."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.support.documentation import Block, blocks

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = """
[project]
name = "program"
version = "1"
requires-python = ">=3.9"
dependencies = ["their-library"]

"""
MICROSOFTS = "azure-postgresql-auth"


def make_wheel(folder: Path, name: str, *requirements: str) -> None:
    info = f"{name.replace('-', '_')}-1.1.0.dist-info"
    files = {
        f"{name.replace('-', '_')}.py": "",
        f"{info}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.1.0", *(f"Requires-Dist: {r}" for r in requirements)]
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name.replace('-', '_')}-1.1.0-py3-none-any.whl", "w") as wheel:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(file, text)


def installed(folder: Path, settings: str) -> set[str]:
    """Return what uv installs for a program whose library requires Microsoft's distribution."""
    (folder / "pyproject.toml").write_text(PROJECT + settings, "utf-8")
    uv = [sys.executable, "-m", "uv", "--quiet", "--no-cache"]
    options = ["--python", sys.executable, "--no-index", "--find-links", str(folder / "wheels")]
    subprocess.run([*uv, "sync", *options], cwd=folder, check=True, timeout=60)
    return {path.name.partition("-")[0] for path in (folder / ".venv").rglob("*.dist-info")}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    make_wheel(tmp_path / "wheels", MICROSOFTS)
    make_wheel(tmp_path / "wheels", "their-library", MICROSOFTS)
    return tmp_path


def test_dependency_installs_it(program: Path) -> None:
    assert installed(program, "") == {"azure_postgresql_auth", "their_library"}


@pytest.mark.parametrize("block", blocks("toml", "[tool.uv]"))
def test_uv_override_excludes_it(program: Path, block: Block) -> None:
    assert installed(program, block.text) == {"their_library"}
