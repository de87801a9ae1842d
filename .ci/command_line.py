"""Generate the documentation's page of the command line from the parsers."""

from __future__ import annotations

import argparse
import os
import re
from typing import Any

PROGRAM = "azure-postgresql-auth"
TITLE = f"""\
# Command line

What `{PROGRAM} --help` and `{PROGRAM} COMMAND --help` say. [The guide](../command-line/index.md) says what each command
is for.
"""


def page() -> str:
    """Return the page as Markdown."""
    os.environ["COLUMNS"] = "100"
    from azure_postgresql_auth.cli.parser import build  # noqa: PLC0415 - reads COLUMNS

    top = build()
    parts = [TITLE, _body(top)]
    for name, command in _commands(top):
        parts += [f"## {name}\n", _body(command)]
    return "\n".join(parts)


def _commands(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    (action,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001 - argparse has no public way
    return list(action.choices.items())


def _body(parser: argparse.ArgumentParser) -> str:
    parts = [_prose(parser.description), f"```text\n{parser.format_usage().strip()}\n```\n"]
    for group in parser._action_groups:  # noqa: SLF001
        rows = [_row(parser, action) for action in group._group_actions if action.help != argparse.SUPPRESS]  # noqa: SLF001
        if rows:
            parts += [f"**{(group.title or 'options').capitalize()}**\n", "\n".join(rows) + "\n"]
    parts.append(_prose(parser.epilog))
    return "\n".join(parts)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
        return "\n".join(
            f"[`{choice.dest}`](#{choice.dest})\n:   {_text(choice.help)}\n"
            for choice in action._choices_actions  # noqa: SLF001
        )
    formatter: Any = parser._get_formatter()  # noqa: SLF001
    said = re.sub(r"\s+", " ", formatter._format_action_invocation(action))  # noqa: SLF001
    return f"`{said}`\n:   {_text(formatter._expand_help(action) if action.help else '')}\n"  # noqa: SLF001


def _text(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").replace("*", r"\*").replace("<", "&lt;")


def _prose(text: str | None) -> str:
    """Return help as Markdown. Indented parts, which are examples and lists, keep their layout."""
    if not text:
        return ""
    parts = []
    for paragraph in text.strip("\n").split("\n\n"):
        lines = paragraph.split("\n")
        indented = [line.removeprefix("  ") for line in lines if line.startswith("  ")]
        said = [line for line in lines if not line.startswith("  ")]
        if said:
            parts.append(_text(" ".join(said)) + "\n")
        if indented:
            parts.append("```text\n" + "\n".join(indented) + "\n```\n")
    return "\n".join(parts)
