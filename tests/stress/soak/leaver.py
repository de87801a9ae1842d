"""A program that exits with the code that it is given while its threads and loops wait for tokens."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import threading
import time
from typing import Any, Callable

from azure_postgresql_auth import core, errors, identity


def take(credential: Any) -> None:
    core.get_entra_token(credential)


def take_async(credential: Any) -> None:
    asyncio.run(core.get_entra_token_async(credential))


def again_and_again(way: Callable[[Any], None]) -> None:
    while True:
        with contextlib.suppress(errors.AzurePgEntraError):
            way(identity.ManagedIdentityCredential())


for waiting in (take, take, take_async):
    threading.Thread(target=again_and_again, args=(waiting,), daemon=True).start()
time.sleep(random.random() * 0.2)  # noqa: S311
sys.exit(int(sys.argv[1]))
