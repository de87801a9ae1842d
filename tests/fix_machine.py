"""Fixtures: what machine this seems to be, by the environment and by what is installed."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """Shells let what they start in the background ignore Ctrl-C, and the programs that tests start inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def imds(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A virtual machine: IMDS and no App Service."""
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    monkeypatch.delenv("IDENTITY_HEADER")
    return emulator


@pytest.fixture
def nowhere(imds: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulator:
    """A machine where nothing is set up, not even a command line."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("PATH", str(tmp_path))
    return imds


@pytest.fixture
def tool(nowhere: Emulator, tmp_path: Path) -> Any:
    """Installs a command line that does what the test says."""
    assert nowhere

    def install(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        path.chmod(0o755)

    return install
