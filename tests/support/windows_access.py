"""Access control lists of files on Windows, in its security descriptor language (SDDL)."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

EVERYBODY = "D:P(A;;FA;;;WD)"
"""Full access for everybody, nothing inherited."""
_DISCRETIONARY = 4
_REVISION = 1


def set_access(path: Path, descriptor: str) -> None:
    """Replace the list of who has access to a file or folder."""
    if sys.platform != "win32":
        raise NotImplementedError
    advapi = ctypes.WinDLL("advapi32", use_last_error=True)
    found = ctypes.c_void_p()
    make = advapi.ConvertStringSecurityDescriptorToSecurityDescriptorW
    if not make(descriptor, _REVISION, ctypes.byref(found), None):
        raise ctypes.WinError(ctypes.get_last_error())
    if not advapi.SetFileSecurityW(str(path), _DISCRETIONARY, found):
        raise ctypes.WinError(ctypes.get_last_error())
