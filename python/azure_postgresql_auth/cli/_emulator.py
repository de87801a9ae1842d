"""`emulator`: Azure on this machine, from the shell."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth.cli import _terminal
from azure_postgresql_auth.cli._failure import Failure

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from azure_postgresql_auth.emulator import Emulator

_CANNOT_RUN, _NOT_FOUND = 126, 127
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def run(options: argparse.Namespace) -> int:
    """Runs it until the command ends, or until it is told to stop."""
    emulator = _make(options)
    # A signal ends the `with` below, which stops PostgreSQL and removes its files.
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    with _terminal.waiting("starting PostgreSQL"):
        try:
            emulator.__enter__()
        except (RuntimeError, ValueError) as error:
            raise Failure(f"the emulator did not start: {error}") from error
    try:
        variables = _variables(emulator, options.identity)
        if options.command:
            return _run_inside(options.command, variables)
        _terminal.data("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
        _terminal.note("running; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            stopped.wait()
    finally:
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


def _run_inside(command: Sequence[str], variables: dict[str, str]) -> int:
    try:
        child = subprocess.Popen(command, env={**os.environ, **variables})  # noqa: S603 - the user's own command
    except FileNotFoundError as error:
        raise Failure(f"emulator: {command[0]} is not installed or not on PATH", _NOT_FOUND) from error
    except OSError as error:
        raise Failure(f"emulator: {command[0]} cannot be run: {error.strerror}", _CANNOT_RUN) from error

    def pass_on(number: int, _: Any) -> None:
        child.send_signal(number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    # A terminal sends this one to both; the child decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN if sys.stdin.isatty() else pass_on)
    code = child.wait()
    return 128 - code if code < 0 else code
