"""Interrupt code at every place where a signal's handler can raise."""

from __future__ import annotations

import dis
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType, FrameType, TracebackType
    from typing import Any


class Interrupted(KeyboardInterrupt):
    """What the handler of a signal would raise."""


class Interruptions:
    """A context manager that raises `Interrupted` in this thread, at another place in each block.

    A block in which every place has been used already is not interrupted; `place` is then None.

    The interpreter runs the handlers of signals after calls: what was called has happened, and its result is lost.

    Args:
        files: the source files whose code is interrupted.
    """

    def __init__(self, *files: str | None) -> None:
        self._files = files
        self._places: set[tuple[CodeType, int]] = set()
        self._after_calls: dict[CodeType, set[int]] = {}
        self._previous: Any = None
        self.place: str | None = None
        """Where the last block was interrupted."""

    def __enter__(self) -> None:
        self.place = None
        self._previous = sys.gettrace()
        sys.settrace(self._enter)

    def end(self) -> None:
        """Interrupt nothing in the rest of the block."""
        sys.settrace(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        sys.settrace(self._previous)
        return isinstance(error, Interrupted)

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, argument: object) -> Any:
        code, place = frame.f_code, (frame.f_code, frame.f_lasti)
        if event == "opcode" and frame.f_lasti in self._after(code) and place not in self._places:
            self._places.add(place)
            self.place = f"{code.co_filename}:{frame.f_lineno}"
            sys.settrace(None)
            raise Interrupted
        return self._step

    def _after(self, code: CodeType) -> set[int]:
        """Return the offsets of the instructions that follow calls."""
        if code not in self._after_calls:
            found = list(dis.get_instructions(code))
            self._after_calls[code] = {
                after.offset for call, after in zip(found, found[1:]) if call.opname.startswith("CALL")
            }
        return self._after_calls[code]
