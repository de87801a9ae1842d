"""`emulator`: Azure on this machine, from the shell."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import threading
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import child, signals, terminal
from azure_postgresql_auth.cli.failure import Failure

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from azure_postgresql_auth.emulator import Emulator


def run(options: argparse.Namespace) -> int:
    """Run it until the command ends, or until it is told to stop."""
    emulator = _make(options)
    try:
        with terminal.waiting("starting PostgreSQL"):
            try:
                emulator.__enter__()
            except (RuntimeError, ValueError) as error:
                raise Failure(f"the emulator did not start: {error}") from error
        variables = _variables(emulator, options.identity)
        if options.command:
            code = child.run(options.command, {**os.environ, **variables}, "emulator")
            return signals.exit_code(-code) if code < 0 else code
        exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
        with contextlib.suppress(KeyboardInterrupt):
            terminal.data(json.dumps(variables) if options.json else exports)
            terminal.note("running; Ctrl-C ends it")
            threading.Event().wait()
    finally:
        # PostgreSQL is stopped and its files are removed, however often one is asked to end.
        with signals.postponed():
            emulator.__exit__(None, None, None)
    return 0


def _make(options: argparse.Namespace) -> Emulator:
    try:
        from azure_postgresql_auth.emulator import Emulator  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = (
            f"the emulator needs the extra `emulator`; install it with: pip install "
            f"'azure-postgresql-auth-rs[emulator]' ({error})"
        )
        raise Failure(message) from error
    try:
        return Emulator(lifetime=options.lifetime, latency=options.latency, dsn=options.dsn)
    except ValueError as error:
        raise Failure(f"emulator: {error}", 2) from error


def _variables(emulator: Emulator, identities: Sequence[str]) -> dict[str, str]:
    """Those of the first identity, which the endpoints answer for; the others are there to be named."""
    made = []
    for text in identities:
        name, kind = _name_and_kind(text)
        try:
            if name == emulator.identity.name and kind == emulator.identity.kind:
                made.append(emulator.identity)
            else:
                made.append(emulator.add_identity(name, kind, default=not made))
        except ValueError as error:
            raise Failure(f"--identity {text}: {error}", 2) from error
    if made and made[0].client_secret is not None:
        return emulator.client_secret_env(made[0])
    return emulator.env


def _name_and_kind(text: str) -> tuple[str, str]:
    name, colon, kind = text.rpartition(":")
    return (name, kind) if colon else (text, "user-assigned")
