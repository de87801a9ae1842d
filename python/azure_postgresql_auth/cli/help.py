"""`help`: a command's help, as its `--help` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import parser

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Print it."""
    parser.build().parse_args([*filter(None, [options.topic]), "--help"])
    return 0
