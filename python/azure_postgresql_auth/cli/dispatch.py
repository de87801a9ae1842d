"""Run a command, and turn its errors into messages and exit codes."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import parser, signals, streams, terminal
from azure_postgresql_auth.cli.failure import USAGE, Failure
from azure_postgresql_auth.errors import AzurePgEntraError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Final


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; by default the process's own.

    Returns:
        The exit code.
    """
    streams.occupy()
    try:
        options = parser.parse(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return signals.exit_code(signal.SIGINT)
    except Failure as failure:
        # `--version` could not be written.
        terminal.complain(str(failure))
        return failure.code
    return _run(options, to_the_end=arguments is None)


def _run(options: argparse.Namespace, *, to_the_end: bool) -> int:
    if options.debug:
        _log_everything()
    try:
        with signals.raised(to_the_end=to_the_end):
            module = importlib.import_module(f"azure_postgresql_auth.cli.{options.module}")
            return int(module.run(options))
    except signals.Stopped as stopped:
        return stopped.code
    except KeyboardInterrupt:
        return signals.exit_code(signal.SIGINT)
    except BrokenPipeError:
        # The reader of stdout has closed it, and knows why.
        terminal.discard_data()
        return 1
    except (AzurePgEntraError, Failure, OSError, UnicodeEncodeError) as error:
        if options.debug:
            _print_traceback()
        terminal.complain(_in_words(error, options))
        return _code(error)


_PASS_USER: Final = {
    "no_user_name": "give {}, the name of the PostgreSQL role that was created for this identity",
    "guest_name": (
        "give {}, the guest's name in the server's tenant, which `az ad signed-in-user show --query userPrincipalName` "
        "prints"
    ),
    "management_token": "give {}, the name of the PostgreSQL role, and it is not needed",
}
"""Remedies by code of the report, in terms of this command; the library's speak of its own arguments."""


def _code(error: Exception) -> int:
    if isinstance(error, UnicodeEncodeError):
        return USAGE
    return error.code if isinstance(error, Failure) else 1


_NOT_TEXT: Final = (
    "an argument or a variable holds bytes that are not UTF-8, which names of hosts and roles are: check what it was "
    "copied from, and the terminal's encoding"
)


def _in_words(error: Exception, options: argparse.Namespace) -> str:
    if UnicodeEncodeError in {type(error), type(error.__cause__)}:
        return _NOT_TEXT
    if not isinstance(error, AzurePgEntraError):
        return str(error) or type(error).__name__
    report = error.report
    if report.code in _PASS_USER:
        remedy = _PASS_USER[report.code].format("--user" if hasattr(options, "user") else "PGUSER")
        attempts = (f"\n  {attempt.credential}: {attempt.reason}" for attempt in report.attempts)
        return f"{report.cause}; {remedy}{''.join(attempts)}"
    if report.code == "insecure_transport" and report.cause:
        return f"{report.cause}; {report.remedy}"
    return str(error)


def _print_traceback() -> None:
    import traceback  # noqa: PLC0415 - only with --debug

    sys.stderr.write(terminal.printable(traceback.format_exc()))


def _log_everything() -> None:
    import logging  # noqa: PLC0415 - only with --debug; the library logs only if logging is imported

    class Printable(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return terminal.printable(super().format(record))

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Printable("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("azure_postgresql_auth").setLevel(logging.DEBUG)
