"""`completion`: prints a script with which a shell completes the arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import parser, terminal
from azure_postgresql_auth.cli.failure import Failure
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from typing import Final

DESCRIPTION: Final = f"""\
Prints a script with which a shell completes the arguments. Requires the extra `completion`.

  {PROGRAM} completion bash > ~/.local/share/bash-completion/completions/{PROGRAM}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "tcsh"))


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = (
            "completion needs the extra `completion`; install it with: "
            "pip install 'azure-postgresql-auth-rs[completion]'"
        )
        raise Failure(message) from error
    if options.shell not in shtab.SUPPORTED_SHELLS:
        message = f"shtab {shtab.__version__} has no completion for {options.shell}; install a later one"
        raise Failure(message)
    terminal.data(shtab.complete(parser.build(), options.shell))
    return 0
