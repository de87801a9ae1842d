"""Measure the cost of importing the package and creating a credential when psycopg is already imported."""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Measure this process."""
    import psycopg
    from _candidate import CANDIDATE, credential, memory, tell

    _ = psycopg
    modules, begun, burnt = len(sys.modules), time.perf_counter(), time.process_time()
    if CANDIDATE == "ours":
        import azure_postgresql_auth._core as extension

        _ = extension
    extension_took = time.perf_counter() - begun
    if CANDIDATE != "static":
        from azure_postgresql_auth import psycopg3

        _ = psycopg3
        credential()
    figures = {
        "wall, ms": (time.perf_counter() - begun) * 1e3,
        "CPU, ms": (time.process_time() - burnt) * 1e3,
        "modules": len(sys.modules) - modules,
        "memory, MB": memory()["memory, MB"],
    }
    if CANDIDATE == "ours":
        figures["extension alone, ms"] = extension_took * 1e3
    tell(figures)


if __name__ == "__main__":
    main()
