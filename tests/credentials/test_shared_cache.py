"""One folder of tokens for all processes of a user: one request for a fleet, and nothing taken that is not safe."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from azure_postgresql_auth import identity, psycopg3

from tests.support.locks import locked
from tests.support.platforms import LIMIT, needs_fork, needs_links, needs_modes, needs_root

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

SCRIPT = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from azure_postgresql_auth import core, identity, psycopg3
connection = psycopg3.EntraConnection.connect(sys.argv[1], **({"user": sys.argv[2]} if sys.argv[2:] else {}))
print("logged in as", connection.execute("SELECT session_user").fetchone()[0])
connection.close()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tokens"
    monkeypatch.setenv("AZURE_POSTGRESQL_AUTH_CACHE_DIR", str(path))
    return path


def start(emulator: Emulator, *user: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, emulator.dsn, *user]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    printed, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (0, ""), errors
    return printed


def login(emulator: Emulator, *user: str) -> str:
    return ended(start(emulator, *user))


def requests(emulator: Emulator) -> int:
    return len(emulator.token_requests)


def entry(folder: Path) -> Path:
    """Return the only file with a token."""
    (found,) = (path for path in folder.iterdir() if not path.suffix and path.name != "key")
    return found


def test_a_fleet_makes_one_request(emulator: Emulator, folder: Path) -> None:
    emulator.latency = 0.5
    fleet = [start(emulator) for _ in range(8)]
    assert [ended(process) for process in fleet] == ["logged in as emulator-identity\n"] * 8
    assert login(emulator) == "logged in as emulator-identity\n"
    assert requests(emulator) == 1


@needs_modes
def test_nobody_else_can_read_it(emulator: Emulator, folder: Path) -> None:
    login(emulator)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {path.suffix for path in folder.iterdir()} == {"", ".lock"}, "no note and no half file is left"


def test_another_identity_has_another_file(emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "emulator-identity" in login(emulator)
    other = emulator.add_identity("other-identity")
    monkeypatch.setenv("AZURE_CLIENT_ID", other.client_id)
    assert "other-identity" in login(emulator)
    assert requests(emulator) == 2


def test_a_client_secret_is_not_in_it(emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = emulator.add_identity("service", "service-principal")
    for name, value in emulator.client_secret_env(service).items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        assert "service" in login(emulator, "service")
    assert requests(emulator) == 1
    assert service.client_secret is not None
    for path in folder.iterdir():
        assert service.client_secret.encode() not in path.read_bytes()
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    stranger = start(emulator, "service")
    stranger.communicate(timeout=LIMIT)
    assert stranger.returncode != 0, "who does not know the secret does not get its token"


def test_a_refused_token_is_not_taken_again(emulator: Emulator, folder: Path) -> None:
    login(emulator)
    emulator.revoke("emulator-identity")
    assert "logged in as emulator-identity" in login(emulator)
    assert requests(emulator) == 2
    assert login(emulator) == "logged in as emulator-identity\n", "what replaced it is there for the others"
    assert requests(emulator) == 2


def test_a_refused_token_is_replaced_by_one_that_lives_less_long(emulator: Emulator, folder: Path) -> None:
    login(emulator)
    emulator.revoke("emulator-identity")
    emulator.lifetime = 600
    assert "logged in as emulator-identity" in login(emulator)
    assert login(emulator) == "logged in as emulator-identity\n", "what replaced it is there for the others"
    assert requests(emulator) == 2


def test_tokens_as_old_as_a_refused_one_are_not_taken(emulator: Emulator, folder: Path) -> None:
    credential = identity.ManagedIdentityCredential()
    psycopg3.EntraConnection.connect(emulator.dsn, credential=credential).close()
    entry(folder).unlink()
    ask = "from azure_postgresql_auth import core, identity; core.get_entra_token(identity.ManagedIdentityCredential())"
    subprocess.run([sys.executable, "-c", ask], check=True)
    time.sleep(1.5)  # the folder's times are in seconds
    emulator.revoke("emulator-identity")
    psycopg3.EntraConnection.connect(emulator.dsn, credential=credential).close()
    assert requests(emulator) == 3
    psycopg3.EntraConnection.connect(emulator.dsn, credential=identity.ManagedIdentityCredential()).close()
    assert requests(emulator) == 3, "what replaced both is there for the others"


def test_one_that_is_due_for_renewal_is_renewed_or_else_used(emulator: Emulator, folder: Path) -> None:
    emulator.lifetime = 24
    login(emulator)
    time.sleep(15)  # renewal is due between half and six tenths of its life
    emulator.fail(status=400)
    assert "logged in as emulator-identity" in login(emulator)
    emulator.heal()
    login(emulator)
    assert len([request for request in emulator.token_requests if request.status == 200]) == 2


def test_held_lock_delays_no_login(emulator: Emulator, folder: Path) -> None:
    login(emulator)
    path = entry(folder)
    path.unlink()
    with locked(path.with_suffix(".lock")):
        begun = time.monotonic()
        assert login(emulator) == "logged in as emulator-identity\n"
        assert time.monotonic() - begun < 15
    assert path.exists(), "it is written all the same"


@needs_fork
def test_unresponsive_folder_delays_no_login(emulator: Emulator, folder: Path) -> None:
    """As on a network file system whose server is unavailable: opening the file blocks for ever."""
    folder.mkdir(0o700)
    os.mkfifo(folder / "key", 0o600)
    script = """
import logging, os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later on forks of threaded processes
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from azure_postgresql_auth import core, identity
took = []
def log_in():
    begun = time.monotonic()
    core.get_entra_token(identity.ManagedIdentityCredential())
    took.append(time.monotonic() - begun)
threads = [threading.Thread(target=log_in) for _ in range(3)]
for thread in threads: thread.start()
time.sleep(0.3)
begun = time.monotonic()
if os.fork() == 0: os._exit(0)
forked = time.monotonic() - begun
for thread in threads: thread.join()
assert forked < 1, forked
for _ in range(3): log_in()
assert max(took) < 10 and min(took[3:]) < 0.9, took
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "does not answer within 1 s; tokens are not shared until it does" in done.stdout
    assert requests(emulator) == 6


def readable(path: Path) -> None:
    path.chmod(0o644)


def foreign(path: Path) -> None:
    os.chown(path, 12345, -1)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def tampered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def linked(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        pytest.param(readable, "is open to other users (mode 0644)", marks=needs_modes),
        pytest.param(foreign, "belongs to user 12345", marks=needs_root),
        (truncated, "is damaged or was changed"),
        (tampered, "is damaged or was changed"),
        (emptied, "is damaged or was changed"),
        pytest.param(linked, "could not be opened", marks=needs_links),
    ],
)
def test_an_unsafe_file_is_refused_in_words(emulator: Emulator, folder: Path, harm: object, words: str) -> None:
    login(emulator)
    assert callable(harm)
    harm(entry(folder))
    printed = login(emulator)
    assert words in printed
    assert "logged in as emulator-identity" in printed
    assert requests(emulator) == 2
    assert login(emulator) == "logged in as emulator-identity\n", "a good one has taken its place"
    assert requests(emulator) == 2


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        pytest.param(readable, "is open to other users", marks=needs_modes),
        pytest.param(foreign, "belongs to user 12345", marks=needs_root),
    ],
)
def test_an_unsafe_folder_is_refused_in_words(emulator: Emulator, folder: Path, harm: object, words: str) -> None:
    folder.mkdir()
    assert callable(harm)
    harm(folder)
    printed = login(emulator)
    assert words in printed
    assert "tokens are not shared" in printed
    assert list(folder.iterdir()) == []


def test_invalid_folder(emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, words in (("relative", "is not an absolute path"), (str(folder / "a" / "b"), "could not create")):
        monkeypatch.setenv("AZURE_POSTGRESQL_AUTH_CACHE_DIR", value)
        printed = login(emulator)
        assert words in printed
        assert "logged in as emulator-identity" in printed


@pytest.mark.parametrize("seconds", [-60, 86_400], ids=["long ago", "before the clock was set back"])
def test_process_that_died_while_fetching_delays_others_briefly(emulator: Emulator, folder: Path, seconds: int) -> None:
    login(emulator)
    path = entry(folder)
    path.unlink()
    note = path.with_suffix(".fetching")
    note.touch(0o600)
    assert login(emulator) == "logged in as emulator-identity\n"
    assert note.exists(), "it is young, and whose it was may still fetch"
    then = time.time() + seconds
    os.utime(note, (then, then))
    path.unlink()
    assert login(emulator) == "logged in as emulator-identity\n"
    assert not note.exists()
