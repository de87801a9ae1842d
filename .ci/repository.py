"""Rewrite links of Markdown pages that are shown elsewhere: on the documentation's site and on PyPI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from root import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?!https?:|mailto:)([^()\s]+)\)")


def url() -> str | None:
    """Return the repository's address from pyproject.toml; None if it is not set."""
    found = re.search(r'^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    return found[1] if found else None


def address(path: str, anchor: str = "") -> str | None:
    """Return the URL at which the repository shows a file; None if the repository has no address."""
    repository = url()
    if repository is None:
        return None
    kind = "tree" if (ROOT / path).is_dir() else "raw" if path.endswith(".svg") else "blob"
    return f"{repository.rstrip('/')}/{kind}/main/{path}" + (f"#{anchor}" if anchor else "")


def relinked(markdown: str, target: Callable[[str], str | None]) -> str:
    """Replace each relative link outside of code by `target(link)` or, if that is None, by the link's text."""

    def link(match: re.Match[str]) -> str:
        to = target(match[3])
        if to is None:
            return "" if match[1] else match[2]
        return f"{match[1]}[{match[2]}]({to})"

    parts = re.split(r"(^ *```.*?^ *```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.lstrip(" ").startswith("```") else LINK.sub(link, part) for part in parts)
