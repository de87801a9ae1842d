"""Keeping something fresh: when to look again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

_LONGEST_PAUSE: Final = 60.0
_SHORTEST_PAUSE: Final = 0.25
_FIRST_RETRY: Final = 1.0
_PARTS_OF_LIFE: Final = 20


def keep_fresh(look: Callable[[], float], wait: Callable[[float], bool]) -> None:
    """Look again and again, at a twentieth of what is left each time, and at least once a minute.

    Args:
        look: renews what needs it, and returns until when all is good, in seconds since the epoch; 0 if it is not,
            which is tried again soon, and later after each failure.
        wait: waits so many seconds, and returns whether to stop.
    """
    retry = _FIRST_RETRY
    while True:
        good_until = look()
        if good_until:
            retry = _FIRST_RETRY
            pause = max(_SHORTEST_PAUSE, min(_LONGEST_PAUSE, (good_until - time.time()) / _PARTS_OF_LIFE))
        else:
            pause = retry
            retry = min(retry * 2, _LONGEST_PAUSE)
        if wait(pause):
            return
