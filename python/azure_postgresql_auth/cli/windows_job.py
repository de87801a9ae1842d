"""A job object, by which the system ends what a command has started when that is killed.

Whoever stops a program on Windows does it by `TerminateProcess`: there is no signal that the command could pass on.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from ctypes import wintypes
from typing import TYPE_CHECKING

assert sys.platform == "win32"  # noqa: S101 - for type checkers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_EXTENDED_LIMIT_INFORMATION: Final = 9
_KILL_ON_JOB_CLOSE: Final = 0x2000


class _Limits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("PerProcessUserTimeLimit", wintypes.LARGE_INTEGER),
        ("PerJobUserTimeLimit", wintypes.LARGE_INTEGER),
        ("LimitFlags", wintypes.DWORD),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", wintypes.DWORD),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", wintypes.DWORD),
        ("SchedulingClass", wintypes.DWORD),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


_kernel = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel.CreateJobObjectW.restype = wintypes.HANDLE
_kernel.CreateJobObjectW.argtypes = (wintypes.LPVOID, wintypes.LPCWSTR)
_kernel.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, wintypes.LPVOID, wintypes.DWORD)
_kernel.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
_kernel.GetCurrentProcess.restype = wintypes.HANDLE
_kernel.CloseHandle.argtypes = (wintypes.HANDLE,)


@contextlib.contextmanager
def children_end_with_this_process() -> Iterator[None]:
    """Have the system end what is started in this block, and what that starts, if this process ends before the block.

    What still runs after the block goes on. Where the system refuses the job, a killed process leaves its children.
    """
    job = _kernel.CreateJobObjectW(None, None)
    # The job closes with its last handle, which this process has and no child inherits.
    _limit(job, _KILL_ON_JOB_CLOSE)
    _kernel.AssignProcessToJobObject(job, _kernel.GetCurrentProcess())
    try:
        yield
    finally:
        _limit(job, 0)
        _kernel.CloseHandle(job)


def _limit(job: int, flags: int) -> None:
    limits = _Limits(LimitFlags=flags)
    _kernel.SetInformationJobObject(job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits))
