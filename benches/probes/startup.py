"""Measure the time from a program's first statement to its first row, and memory: `startup.py CANDIDATE CREDENTIAL`."""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Measure this process."""
    begun, burnt = time.perf_counter(), time.process_time()
    import _candidate

    whose = None if _candidate.CANDIDATE == "static" else _candidate.credential(sys.argv[2])
    connection = _candidate.connector(whose)()
    connection.execute("SELECT 1").fetchone()
    figures = {"wall, ms": (time.perf_counter() - begun) * 1e3, "CPU, ms": (time.process_time() - burnt) * 1e3}
    # Lets idle threads end.
    time.sleep(0.005)
    _candidate.tell({**figures, **_candidate.memory()})


if __name__ == "__main__":
    main()
