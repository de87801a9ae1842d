"""Measure logins over the lifetimes of several short tokens, with an outage of the identity service in between.

`outage.py CANDIDATE CLIENT_ID SECONDS` prints "ready", waits for a line, and logs in from four threads that pause 100
ms after each login.
"""

from __future__ import annotations

import sys
import threading
import time

from _candidate import connector, credential, tell

THREADS = 4
PAUSE = 0.1


def main() -> None:
    """Count logins and failures."""
    connect = connector(credential(client_id=sys.argv[2]))
    seconds = float(sys.argv[3])
    took: list[float] = []
    failed: list[float] = []
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.perf_counter()

    def log_in() -> None:
        while (now := time.perf_counter()) - begun < seconds:
            try:
                connect().close()
            except Exception:  # noqa: BLE001 - counted
                failed.append(now)
            took.append(time.perf_counter() - now)
            time.sleep(PAUSE)

    threads = [threading.Thread(target=log_in) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tell({"logins": len(took) - len(failed), "failed logins": len(failed), "longest login, s": max(took)})


if __name__ == "__main__":
    main()
