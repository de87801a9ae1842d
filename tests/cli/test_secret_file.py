"""A file with secrets: who can read it before and after an update, and who can redirect the write."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth.cli import refresh, temporary
from azure_postgresql_auth.cli.failure import Failure
from azure_postgresql_auth.cli.secret_file import LockedError, SecretFile, locking, remove_file, write_file

from tests.support.platforms import WINDOWS, needs_modes, needs_named_pipes, needs_root, needs_signals, nobody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UID, GID = nobody()
platform: Any = importlib.import_module(SecretFile.__module__)
"""The module of this platform."""


def replaced_by(content: bytes) -> Callable[[bytes], bytes]:
    return lambda _: content


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def somebody_else() -> Iterator[None]:
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(GID)
    os.seteuid(UID)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Reachable by everybody; of this user."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="secret-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def path(folder: Path) -> Path:
    path = folder / "secret"
    path.write_bytes(b"old")
    path.chmod(0o600)
    return path


class TestReplacing:
    @needs_modes
    @pytest.mark.parametrize(("mode", "after"), [(0o600, 0o600), (0o640, 0o640), (0o400, 0o400), (0o666, 0o640)])
    def test_the_mode_stays_unless_it_is_too_wide(self, path: Path, mode: int, after: int) -> None:
        path.chmod(mode)
        with path.open("rb") as reader, SecretFile(str(path)) as file:
            assert file.update(lambda before: before + b" and new")
            assert reader.read() == b"old", "who reads it now reads the old one to its end"
        assert path.read_bytes() == b"old and new"
        assert stat.S_IMODE(path.stat().st_mode) == after
        assert names(path.parent) == ["secret"]

    @needs_root
    @pytest.mark.parametrize(("uid", "gid", "mode"), [(0, GID, 0o640), (UID, GID, 0o600)])
    def test_owner_and_group_stay(self, path: Path, uid: int, gid: int, mode: int) -> None:
        os.chown(path, uid, gid)
        path.chmod(mode)
        with SecretFile(str(path)) as file:
            file.update(replaced_by(b"new"))
        found = path.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (uid, gid, mode)
        with somebody_else():
            assert path.read_bytes() == b"new"

    def test_the_same_content_is_not_written(self, path: Path) -> None:
        before = path.stat()
        with SecretFile(str(path)) as file:
            assert not file.update(lambda content: content)
        assert path.stat().st_ino == before.st_ino

    @needs_modes
    def test_a_new_one_is_for_the_owner_alone(self, folder: Path) -> None:
        with SecretFile(str(folder / "new")) as file:
            assert file.status() is None
            assert file.update(replaced_by(b"x"))
        assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o600

    def test_nothing_is_left_of_a_failure(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no space left")

        monkeypatch.setattr(os, "fsync", fail)
        with SecretFile(str(path)) as file, pytest.raises(OSError, match="no space"):
            file.update(replaced_by(b"new"))
        assert names(path.parent) == ["secret"]
        assert path.read_bytes() == b"old"

    @needs_signals
    def test_what_a_killed_process_left_is_removed(self, path: Path) -> None:
        script = (
            "import os, signal, sys\n"
            "from azure_postgresql_auth.cli.secret_file import SecretFile\n"
            "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
            "SecretFile(sys.argv[1]).update(lambda _: b'token')\n"
        )
        killed = subprocess.run([sys.executable, "-c", script, path], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert len(names(path.parent)) == 2
        (path.parent / ".secret.backup.new").touch()
        with SecretFile(str(path)) as file:
            file.update(lambda content: content)
        assert names(path.parent) == [".secret.backup.new", "secret"]


@needs_modes
class TestInPlace:
    @needs_root
    def test_where_the_folder_is_not_writable(self, path: Path) -> None:
        os.chown(path, UID, GID)
        before = path.stat()
        with somebody_else(), SecretFile(str(path)) as file:
            assert file.update(replaced_by(b"much longer than it was"))
            assert file.update(replaced_by(b"short"))
        assert path.read_bytes() == b"short"
        assert path.stat().st_ino == before.st_ino

    @needs_root
    def test_where_the_file_is_a_mount_point(self, path: Path, folder: Path) -> None:
        mounted = folder / "mounted"
        mounted.touch()
        script = (
            'mount --bind "$1" "$2" || exit 77; exec "$3" -c \'import sys\n'
            "from azure_postgresql_auth.cli.secret_file import SecretFile\n"
            'assert SecretFile(sys.argv[1]).update(lambda _: b"new")\' "$2"'
        )
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", path, mounted, sys.executable],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode == 77 or "unshare" in done.stderr:
            pytest.skip("nothing can be mounted here")
        assert done.returncode == 0, done.stderr
        assert path.read_bytes() == b"new"
        assert names(folder) == ["mounted", "secret"]

    def test_the_old_content_is_kept_when_the_disk_is_full(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def busy(*_: object, **__: object) -> None:
            raise OSError(errno.EBUSY, "busy")

        write = os.pwrite

        def full(descriptor: int, content: bytes, offset: int) -> int:
            if offset >= 3:
                raise OSError(errno.ENOSPC, "no space left")
            return write(descriptor, content[: 3 - offset], offset)

        with SecretFile(str(path)) as file:
            monkeypatch.setattr(os, "rename", busy)
            assert file.update(replaced_by(b"OLD"))
            monkeypatch.setattr(platform.files, "new_file", busy)
            monkeypatch.setattr(os, "pwrite", full)
            with pytest.raises(OSError, match="no space"):
                file.update(replaced_by(b"new and longer"))
        assert path.read_bytes() == b"OLD"


@needs_modes
class TestOthers:
    def test_links_in_a_private_folder_are_followed_and_kept(self, path: Path, folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "link").symlink_to("../there/secret")
        (folder / "there").symlink_to(folder)
        with SecretFile(str(folder / "inner" / "link")) as file:
            assert file.update(replaced_by(b"new"))
        assert (folder / "inner" / "link").is_symlink()
        assert path.read_bytes() == b"new"

    def test_a_loop_of_links_ends(self, folder: Path) -> None:
        (folder / "loop").symlink_to("loop")
        with pytest.raises(OSError, match="symbolic links"):
            SecretFile(str(folder / "loop")).status()

    @needs_root
    @pytest.mark.parametrize("place", ["file", "folder"])
    def test_root_follows_no_link_of_another_user(self, path: Path, folder: Path, place: str) -> None:
        theirs = folder / "theirs"
        theirs.mkdir()
        os.chown(theirs, UID, GID)
        if place == "file":
            (theirs / "secret").symlink_to(path)
            given = theirs / "secret"
        else:
            (theirs / "link").symlink_to(folder)
            given = theirs / "link" / "secret"
        for use in (
            SecretFile(str(given)).status,
            lambda: write_file(str(given), b"x"),
            lambda: remove_file(str(given)),
        ):
            with pytest.raises(Failure, match="symbolic link"):
                use()
        assert path.read_bytes() == b"old"

    @needs_root
    @pytest.mark.parametrize(("uid", "mode"), [(UID, 0o755), (0, 0o775), (0, 0o1777)])
    def test_root_refuses_a_folder_that_others_can_write(self, path: Path, folder: Path, uid: int, mode: int) -> None:
        os.chown(folder, uid, 0)
        folder.chmod(mode)
        with pytest.raises(Failure, match="users other than root can write its folder"):
            SecretFile(str(path)).update(replaced_by(b"new"))
        assert path.read_bytes() == b"old"

    @needs_root
    def test_somebody_elses_file_is_refused(self, path: Path) -> None:
        with somebody_else(), pytest.raises(Failure, match="belongs to another user"):
            SecretFile(str(path)).status()

    @needs_named_pipes
    def test_what_is_no_file_is_refused(self, folder: Path) -> None:
        os.mkfifo(folder / "fifo")
        for name in ("fifo", ""):
            with pytest.raises((Failure, OSError)):
                SecretFile(str(folder / name)).update(replaced_by(b"x"))

    @pytest.mark.skipif(WINDOWS, reason="Windows keeps the current folder of a process")
    def test_the_current_folder_may_be_gone(self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        assert SecretFile(str(path)).update(replaced_by(b"new"))
        assert path.read_bytes() == b"new"

    def test_the_health_file_overwrites_nothing_else(self, path: Path, folder: Path) -> None:
        health = folder / "health"
        health.symlink_to(folder / "absent")
        # A guessable name, which a link could stand in.
        (folder / "health.new").symlink_to(path)
        write_file(str(health), b"{}", 0o644)
        assert (folder / "absent").read_bytes() == b"{}"
        assert path.read_bytes() == b"old"
        remove_file(str(health))
        remove_file(str(health))
        assert not (folder / "absent").exists()


class TestLocking:
    def test_the_lock_goes_with_the_name(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locking, "TIMEOUT", 0.1)
        with SecretFile(str(path)) as first, SecretFile(str(path)) as second:
            first.update(replaced_by(b"1"))
            for content in (b"2", b"3"):
                first.update(replaced_by(content))
                with pytest.raises(LockedError, match="another process"):
                    second.update(replaced_by(b"x"))
            first.close()
            second.update(lambda before: before + b"4")
        assert path.read_bytes() == b"34"

    def test_replaced_file_is_locked_again(self, path: Path) -> None:
        with SecretFile(str(path)) as file:
            file.update(replaced_by(b"1"))
            path.unlink()
            path.write_bytes(b"2")
            assert file.update(lambda before: before + b"3")
        assert path.read_bytes() == b"23"

    def test_no_update_is_lost(self, path: Path) -> None:
        path.write_bytes(b"")

        def add() -> None:
            for _ in range(20):
                with SecretFile(str(path)) as file:
                    file.update(lambda before: before + b"x")

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert path.read_bytes() == b"x" * 80


class TestLooking:
    def test_looks_come_before_the_end_and_failures_are_retried_later_and_later(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "time", lambda: 1000.0)
        results = iter([1100.0, 1000000.0, 0.0, 0.0, 0.0, 1000.1, 0.0])
        pauses: list[float] = []

        def wait(seconds: float) -> bool:
            pauses.append(seconds)
            return len(pauses) == 7

        refresh.keep_fresh(lambda: next(results), wait)
        assert pauses == [5.0, 60.0, 1.0, 2.0, 4.0, 0.25, 1.0]


def test_a_temporary_folder_is_found_from_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", ".")
    monkeypatch.setattr("tempfile.tempdir", None)
    with temporary.folder() as folder:
        assert os.path.dirname(folder) == os.getcwd()  # noqa: PTH109, PTH120 - both are texts
