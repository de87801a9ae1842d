"""`emulator`: Azure on this machine, from the shell."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import child, signals, terminal
from azure_postgresql_auth.cli.failure import USAGE, Failure
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Final

    from azure_postgresql_auth.emulator import Emulator

DESCRIPTION: Final = f"""\
Runs an emulator of Azure on this machine, for tests in any language: token endpoints, and a PostgreSQL that accepts
only their tokens.

  {PROGRAM} emulator -- pytest
  {PROGRAM} emulator --identity orders --identity ann@contoso.com:user --lifetime 60 > azure.env"""

EPILOG: Final = """\
With a command: the command runs with the environment variables that make Azure SDKs and libpq use the emulator. Signals
are passed to it, and its exit code becomes the exit code of `emulator`. Programs of the virtual environment from which
the emulator is called are found first.
Without a command: the variables are printed for a shell, and the emulator runs until SIGINT, SIGTERM or SIGHUP.

kinds of identities: user-assigned (the default), system-assigned, service-principal, user, guest. Each has a role of
its name. The endpoints issue tokens for the first identity; if it is a service principal, AZURE_CLIENT_ID,
AZURE_TENANT_ID and AZURE_CLIENT_SECRET are set.

exit codes: the command's (128 plus the signal's number if a signal killed it); 126 if it cannot be run, 127 if it is
not found; 1 if the emulator does not start"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--identity",
        action="append",
        default=[],
        metavar="NAME[:KIND]",
        help="an identity to create, with a role of its name; can be repeated; default: emulator-identity",
    )
    parser.add_argument(
        "--lifetime", type=float, default=3600.0, metavar="SECONDS", help="lifetime of tokens; default: 3600"
    )
    parser.add_argument(
        "--latency", type=float, default=0.0, metavar="SECONDS", help="delay of the token endpoints; default: 0"
    )
    parser.add_argument(
        "--dsn",
        metavar="URL",
        help="a local PostgreSQL to use, postgresql://ADMIN:PASSWORD@HOST:PORT/DATABASE; by default one is started",
    )
    parser.add_argument("--json", action="store_true", help="print the variables as a JSON object, not for a shell")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND ...", help="command to run with the variables")


def run(options: argparse.Namespace) -> int:
    """Run the emulator until the command ends, or until a signal stops it."""
    emulator = _make(options)
    try:
        with terminal.waiting("starting PostgreSQL"):
            try:
                emulator.__enter__()
            except (RuntimeError, ValueError) as error:
                raise Failure(f"the emulator did not start: {error}") from error
        variables = _variables(emulator, options.identity)
        if options.command:
            return child.shell_code(child.run(options.command, {**os.environ, **variables}, "emulator"))
        exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
        with contextlib.suppress(KeyboardInterrupt):
            terminal.data(json.dumps(variables) if options.json else exports)
            terminal.note("running; Ctrl-C ends it")
            signals.until_stopped()
    finally:
        # Further signals must not prevent that PostgreSQL is stopped and its files are removed.
        signals.disregard()
        emulator.__exit__(None, None, None)
    return 0


def _make(options: argparse.Namespace) -> Emulator:
    try:
        from azure_postgresql_auth.emulator import Emulator  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise Failure(str(error)) from error
    try:
        return Emulator(lifetime=options.lifetime, latency=options.latency, dsn=options.dsn)
    except ValueError as error:
        raise Failure(f"emulator: {error}", USAGE) from error


def _variables(emulator: Emulator, identities: Sequence[str]) -> dict[str, str]:
    """Return the variables of the first identity, for which the endpoints answer; the others can be requested by id."""
    made = []
    for text in identities:
        name, kind = _name_and_kind(text)
        try:
            if name == emulator.identity.name and kind == emulator.identity.kind:
                made.append(emulator.identity)
            else:
                made.append(emulator.add_identity(name, kind, default=not made))
        except ValueError as error:
            raise Failure(f"--identity {text}: {error}", USAGE) from error
    if made and made[0].client_secret is not None:
        return emulator.client_secret_env(made[0])
    return emulator.env


def _name_and_kind(text: str) -> tuple[str, str]:
    name, colon, kind = text.rpartition(":")
    return (name, kind) if colon else (text, "user-assigned")
