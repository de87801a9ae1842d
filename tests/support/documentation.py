"""The documentation's pages, and the fenced blocks of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md", "benches/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]


class Block(NamedTuple):
    """A fenced block of a page; one with a title is a file."""

    page: str
    line: int
    language: str
    title: str | None
    text: str


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, also those in lists and tabs."""
    text = page.read_text("utf-8")
    return [
        Block(
            page.relative_to(ROOT).as_posix(),
            text.count("\n", 0, match.start()) + 1,
            match["language"],
            match["title"],
            re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
        )
        for match in re.finditer(
            r'^(?P<indent> *)```(?P<language>[a-z]*)(?: title="(?P<title>[^"\n]+)")?\n(?P<text>.*?)^(?P=indent)```$',
            text,
            re.DOTALL | re.MULTILINE,
        )
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(language: str, having: str = "") -> list[object]:
    """Return those of a language that have a text in them, for `parametrize`."""
    return [
        pytest.param(block, id=f"{block.page}, line {block.line}")
        for block in BLOCKS
        if block.language == language and having in block.text
    ]


def write_files(block: Block, folder: Path) -> None:
    """Write the files that a page has shown above a block, and the block itself if it is one."""
    for other in BLOCKS:
        if other.page == block.page and other.title and other.line <= block.line:
            path = folder / other.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(other.text, "utf-8")


def has_output(block: Block) -> bool:
    """Whether a console block shows prompts, and so what each command prints."""
    return block.text.startswith("$ ")
