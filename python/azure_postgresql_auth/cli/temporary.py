"""Temporary folders, which a signal does not leave behind wherever it ends the command.

The functions of `tempfile` return the path of what they have created, and a signal may come before that.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def unused_path() -> str:
    """Return an absolute path for a folder that does not exist yet, and that nobody can guess."""
    # `tempfile` leaves TMPDIR=. as it is, and programs change their folder.
    name = os.path.join(tempfile.gettempdir(), f"azure-postgresql-auth-{secrets.token_hex(8)}")  # noqa: PTH118
    return os.path.abspath(name)  # noqa: PTH100


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """Create a folder for this user alone, and remove it when the block ends."""
    path = unused_path()
    try:
        os.mkdir(path, 0o700)  # noqa: PTH102
        yield path
    finally:
        try:
            shutil.rmtree(path, ignore_errors=True)
        except KeyboardInterrupt:
            # No second signal interrupts this.
            shutil.rmtree(path, ignore_errors=True)
            raise
