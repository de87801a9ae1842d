"""Fixtures: the emulator, and an environment that is isolated from everything else."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth.emulator import Emulator

from tests.support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOREIGN = (
    *("AZURE_", "IDENTITY_", "MSI_", "IMDS_", "SYSTEM_OIDCREQUESTURI"),
    *("PG", "NOTIFY_SOCKET", "LISTEN_", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST"),
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
# Nothing listens there, so probes of IMDS fail at once instead of reaching 169.254.169.254.
NO_IMDS = "http://127.0.0.1:9"


@contextmanager
def hidden_world() -> Iterator[None]:
    """Remove the developer's Azure, PostgreSQL and pytest settings, and keep all connections on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_FOREIGN) or name.upper() in _PROXIES:
                patch.delenv(name)
        patch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", NO_IMDS)
        for method in ("connect", "connect_ex"):
            patch.setattr(socket.socket, method, _guarded(getattr(socket.socket, method)))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_outer_world() -> Iterator[None]:
    with hidden_world():
        yield


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):
            message = f"a test tried to connect to {address[0]}"
            raise AssertionError(message)
        return connect(self, address)

    return guarded


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


@pytest.fixture(scope="session")
def postgresql(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the emulator's keyword for the PostgreSQL that TEST_POSTGRESQL names; none if it is not set.

    The variable is the directory with the programs of another server to run. On systems where the emulator cannot start
    one, it has the URLs of servers to use, one for each of pytest-xdist's processes. The one that takes the place of a
    crashed process has another number.
    """
    given = os.environ.get("TEST_POSTGRESQL")
    if given is None:
        return {}
    if Path(given).is_dir():
        return {"postgres": given}
    worker = getattr(request.config, "workerinput", {"workerid": "gw0"})["workerid"]
    servers = given.split()
    return {"dsn": servers[int(worker[2:]) % len(servers)]}


@pytest.fixture(scope="session")
def emulator_server(_no_outer_world: None, postgresql: dict[str, str]) -> Iterator[Emulator]:
    """Start the session's emulator; tests use the fixture `emulator`."""
    with Emulator(**postgresql) as emulator:  # type: ignore[arg-type] # mypy tries the other keywords, too
        yield emulator


@pytest.fixture
def command_options(postgresql: dict[str, str]) -> list[str]:
    """Return the options with which the command `emulator` works on this system."""
    return ["--dsn", postgresql["dsn"]] if "dsn" in postgresql else []


@pytest.fixture
def emulator(emulator_server: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Set the environment with which SDKs and libpq find the emulator; reset it afterwards.

    A renewal in the background may outlive its test: it ends before the next one, which counts its own requests.
    """
    for name, value in emulator_server.env.items():
        monkeypatch.setenv(name, value)
    yield emulator_server
    emulator_server.heal()
    eventually(lambda: not _is_fetching())
    emulator_server.reset()


def _is_fetching() -> bool:
    """Return whether the engine fetches something, by the thread that it has meanwhile; always False without /proc."""
    for name in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it has just ended
            if name.read_text("utf-8") == "azure-pg-auth\n":
                return True
    return False
