"""`help`: a command's help, as its `--help` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.parser import COMMANDS, parse
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from typing import Final

DESCRIPTION: Final = f"""\
Shows a command's help; without a command, a list of all commands.

  {PROGRAM} help exec"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("topic", nargs="?", choices=sorted(COMMANDS), metavar="COMMAND", help="one of the commands")


def run(options: argparse.Namespace) -> int:
    """Print the help."""
    parse([*filter(None, [options.topic]), "--help"])
    return 0
