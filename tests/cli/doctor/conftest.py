"""`doctor`, run in this process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from azure_postgresql_auth.cli import main

from tests.support.doctor import Doctor, Report
from tests.support.ports import reserved_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Run `doctor` in this process, with a new default credential each time."""

    def run(*arguments: str) -> Report:
        code = main(["doctor", *arguments])
        printed = capsys.readouterr()
        assert printed.err == ""
        assert not re.search(r"eyJ[\w-]{20}", printed.out), "a token was printed"
        return Report(code, printed.out)

    return run


@pytest.fixture
def port() -> Iterator[int]:
    """Yield a port of this machine on which nothing listens."""
    with reserved_ports() as (number,):
        yield number


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for fake packages, which precedes all others on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def client_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a client certificate and its key."""
    import trustme

    folder = tmp_path_factory.mktemp("client")
    leaf = trustme.CA().issue_cert("client.example.com")
    leaf.cert_chain_pems[0].write_to_path(str(folder / "client.crt"))
    leaf.private_key_pem.write_to_path(str(folder / "client.key"))
    (folder / "client.key").chmod(0o644)
    return folder
