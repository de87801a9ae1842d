"""What this machine has, and marks for tests that need it."""

from __future__ import annotations

import os
import sys

import pytest

WINDOWS = sys.platform == "win32"
ROOT = sys.platform != "win32" and os.geteuid() == 0

FORKS = hasattr(os, "fork")

needs_root = pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
needs_fork = pytest.mark.skipif(not FORKS, reason="Windows has no fork")
needs_modes = pytest.mark.skipif(WINDOWS, reason="Windows has no modes of files")
needs_signals = pytest.mark.skipif(WINDOWS, reason="Windows has no signals between processes")
needs_terminal = pytest.mark.skipif(WINDOWS, reason="Windows has no pseudo-terminals for Python")
needs_shell = pytest.mark.skipif(WINDOWS, reason="Windows has no POSIX shell")
needs_server = pytest.mark.skipif(WINDOWS, reason="on Windows the emulator runs no PostgreSQL of its own")


def nobody() -> tuple[int, int]:
    """Return user and group of an account that owns nothing."""
    if sys.platform == "win32":
        return -1, -1
    import pwd

    account = pwd.getpwnam("nobody")
    return account.pw_uid, account.pw_gid
