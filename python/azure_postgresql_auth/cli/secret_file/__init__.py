"""Files that hold secrets: read, locked and replaced so that no other user can read them or redirect the write."""

from __future__ import annotations

import sys

from azure_postgresql_auth.cli.secret_file.locking import LockedError

if sys.platform == "win32":
    from azure_postgresql_auth.cli.secret_file.windows import SecretFile, remove_file, write_file
else:
    from azure_postgresql_auth.cli.secret_file.posix import SecretFile, remove_file, write_file

__all__ = ["LockedError", "SecretFile", "remove_file", "write_file"]
