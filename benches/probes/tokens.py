"""Measure decoding, the user name and a cached login with tokens of several sizes, from BENCH_TOKENS."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace
from typing import Any

from _candidate import CANDIDATE, tell
from _timing import micros
from azure_postgresql_auth import core


class Given:
    """A credential with a fixed token."""

    def __init__(self, token: str) -> None:
        """Set the token."""
        self._given = SimpleNamespace(token=token, expires_on=int(time.time()) + 3600)

    def get_token(self, *_: str, **__: Any) -> Any:
        """Return the token."""
        return self._given


def main() -> None:
    """Measure every size."""
    figures = {}
    for size, token in json.loads(os.environ["BENCH_TOKENS"]).items():
        figures[f"decode_jwt, {size} KB, us"] = micros(lambda token=token: core.decode_jwt(token))  # type: ignore[misc]
        if CANDIDATE == "ours":
            from azure_postgresql_auth import _core

            whose = Given(token)
            figures[f"user alone, {size} KB, us"] = micros(lambda token=token: _core.principal_of(token))  # type: ignore[misc]
            figures[f"cached get_entra_conninfo, {size} KB, us"] = micros(
                lambda whose=whose: core.get_entra_conninfo(whose)  # type: ignore[misc]
            )
    tell(figures)


if __name__ == "__main__":
    main()
