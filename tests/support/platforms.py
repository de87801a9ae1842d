"""What this machine has, and marks for tests that need it."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

WINDOWS = sys.platform == "win32"
WINE = sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
ROOT = sys.platform != "win32" and os.geteuid() == 0

FORKS = hasattr(os, "fork")
LIMIT = 400 if WINDOWS else 100
"""Seconds for a program; they start slowly under Wine."""


def _may_link() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "link")
        try:
            link.symlink_to("nowhere")
        except (OSError, NotImplementedError):
            return False
        return link.is_symlink()


def system_message(code: int) -> str:
    """Return what Rust's `std::io::Error` says of an error of the operating system, a number of `errno`."""
    if sys.platform != "win32":
        return f"{os.strerror(code)} (os error {code})"
    windows = {errno.ENOENT: 2, errno.EACCES: 5}[code]
    return f"{ctypes.FormatError(windows)} (os error {windows})"


LINKS = _may_link()
"""Whether this user may make symbolic links; on Windows that is a privilege."""
NO_SUCH_FILE = system_message(errno.ENOENT)

# Under Wine, Linux' /proc is there, but not what a program for Windows has open.
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
needs_root = pytest.mark.skipif(not ROOT, reason="only root can act for other users")
needs_fork = pytest.mark.skipif(not FORKS, reason="Windows has no fork")
needs_modes = pytest.mark.skipif(WINDOWS, reason="Windows has no modes of files")
needs_signals = pytest.mark.skipif(WINDOWS, reason="Windows has no signals between processes")
needs_terminal = pytest.mark.skipif(WINDOWS, reason="Windows has no pseudo-terminals for Python")
needs_shell = pytest.mark.skipif(WINDOWS, reason="Windows has no POSIX shell")
needs_links = pytest.mark.skipif(not LINKS, reason="this user may not make symbolic links")
needs_named_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
needs_server = pytest.mark.skipif(WINDOWS, reason="on Windows the emulator runs no PostgreSQL of its own")


def fails_in_wine(reason: str) -> pytest.MarkDecorator:
    """Mark a test that passes on Windows, and that Wine fails for a reason of its own."""
    return pytest.mark.skipif(WINE, reason=f"Wine: {reason}")


needs_system_trust = fails_in_wine("its certificate verifier reports an unknown authority as a failed revocation check")


def nobody() -> tuple[int, int]:
    """Return user and group of an account that owns nothing."""
    if sys.platform == "win32":
        return -1, -1
    import pwd

    account = pwd.getpwnam("nobody")
    return account.pw_uid, account.pw_gid
