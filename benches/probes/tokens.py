"""What is read from tokens of several sizes, which BENCH_TOKENS has by size: the claims, the user, a cached login."""

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
    """A credential whose token is known."""

    def __init__(self, token: str) -> None:
        """Remember it."""
        self._given = SimpleNamespace(token=token, expires_on=int(time.time()) + 3600)

    def get_token(self, *_: str, **__: Any) -> Any:
        """Give it."""
        return self._given


def main() -> None:
    """Measures every size."""
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
