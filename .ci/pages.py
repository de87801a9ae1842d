"""Hooks of the documentation's site (mkdocs.yml): generated pages, links into the repository, and checks.

The links in pages work in the repository's viewer. On the site, a link that leaves `docs/` becomes a link to the
repository, whose address is `Repository` in pyproject.toml's `[project.urls]`; without an address it becomes text.
"""

from __future__ import annotations

import importlib
import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import griffe
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))

import command_line  # a module beside this file, which mkdocs loads by its path
import environment_variables
import error_codes
import repository
from root import ROOT

ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benches/README.md": "benchmarks.md",
}
"""Pages outside `docs/`, in the places where readers of the repository expect them."""
PAGES = {page: source for source, page in ELSEWHERE.items()}
CHARTS = "benches/charts"
BOOSTS = {"changelog": 0.3, "decisions/": 0.3, "reference/environment": 3, "reference/error": 2}
"""Weights of the search: the explanation of a name is ranked above its history."""
SHOWN = re.compile(r"^::: azure_postgresql_auth\.([a-z0-9_.]+)$", re.MULTILINE)
"""The directive that names the module of a reference page."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside `docs/`, the generated pages, and the charts."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    files.append(File.generated(config, "reference/command-line.md", content=command_line.page()))
    files.append(File.generated(config, "reference/environment.md", content=environment_variables.page()))
    files.append(File.generated(config, "reference/error-codes.md", content=error_codes.page()))
    for chart in sorted((ROOT / CHARTS).glob("*.svg")):
        files.append(File.generated(config, f"charts/{chart.name}", abs_src_path=str(chart)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs passes them by name
    """Rewrite links so that they work on the site."""
    here = page.file.src_uri
    boost = next((boost for start, boost in BOOSTS.items() if here.startswith(start)), None)
    if boost is not None:
        page.meta["search"] = {"boost": boost}
    return repository.relinked(markdown, lambda target: _target(PAGES.get(here, f"docs/{here}"), here, target))


def _target(source: str, here: str, target: str) -> str | None:
    path, hash_, anchor = target.partition("#")
    if not path:
        return target
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if path.startswith(f"{CHARTS}/"):
        page = path.removeprefix("benches/")
    elif path in ELSEWHERE:
        page = ELSEWHERE[path]
    elif path.startswith("docs/"):
        page = path.removeprefix("docs/")
    elif (ROOT / path).exists():
        return repository.address(path, anchor)
    else:
        return target  # mkdocs reports the broken link
    return posixpath.relpath(page, posixpath.dirname(here) or ".") + hash_ + anchor


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Label table cells with their columns, for small screens, which show rows as lists (docs/css/site.css)."""
    return re.sub(r"<table>.*?</table>", _labelled, html, flags=re.DOTALL)


def _labelled(table: re.Match[str]) -> str:
    heads = [re.sub(r"<[^>]+>", "", head).strip() for head in re.findall(r"<th[^>]*>(.*?)</th>", table[0], re.DOTALL)]

    def row(match: re.Match[str]) -> str:
        labels = iter(heads)
        return re.sub(r"<td", lambda _: f'<td data-label="{next(labels)}"', match[0])

    return re.sub(r"<tr>.*?</tr>", row, table[0], flags=re.DOTALL)


def on_pre_build(config: MkDocsConfig) -> None:  # noqa: ARG001
    """Fail if a public name has no docstring, because the reference would omit it silently."""
    package = griffe.load("azure_postgresql_auth", search_paths=[str(ROOT / "python")], allow_inspection=False)
    bare = {name for module in _modules() for name in _undocumented(package[module])}
    if bare:
        raise PluginError("Public names without a docstring:\n  " + "\n  ".join(sorted(bare)))


def _modules() -> list[str]:
    pages = sorted((ROOT / "docs/reference/api").glob("*.md"))
    return [name for page in pages for name in SHOWN.findall(page.read_text("utf-8"))]


def _undocumented(scope: griffe.Object | griffe.Alias) -> Iterator[str]:
    if not scope.docstring:
        yield scope.path
    for member in scope.members.values():
        # Dunder methods need no docstring, and TYPE_CHECKING is for type checkers.
        special = member.name.startswith("__") or member.name == "TYPE_CHECKING"
        if special or not member.is_public or (member.is_module and not member.is_exported):
            continue
        try:
            target = member.final_target if member.is_alias else member
        except griffe.AliasResolutionError:
            continue  # defined in another package
        if not target.path.startswith("azure_postgresql_auth."):
            continue
        if target.is_class:
            yield from _undocumented(target)
        elif not target.docstring and not (target.is_attribute and scope.is_class):  # documented by its class
            yield target.path


REMOTE = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\ssrc=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b(?![^>]*rel=["']?(?:canonical|next|prev))[^>]*\shref=["']?(?:https?:)?//[^>]*>"""
)
REMOTE_CSS = re.compile(r"""(?:url\(|@import )["']?(?:https?:)?//[^)]*""")


def on_post_build(config: MkDocsConfig) -> None:
    """Fail if a page loads something from another server, or if an exported name is on no page."""
    for module in _modules():
        built = Path(config.site_dir, "reference/api", module.replace(".", "_"), "index.html").read_text("utf-8")
        exported = importlib.import_module(f"azure_postgresql_auth.{module}")
        missing = [name for name in getattr(exported, "__all__", ()) if not re.search(rf"\b{name}\b", built)]
        if missing:
            message = f"The reference of {module} does not have {', '.join(missing)}"
            raise PluginError(message)
    found = []
    for pattern, suffix in ((REMOTE, "*.html"), (REMOTE_CSS, "*.css")):
        for path in Path(config.site_dir).rglob(suffix):
            found += [f"{path}: {match[0]}" for match in pattern.finditer(path.read_text("utf-8"))]
    if found:
        raise PluginError("Pages load from other servers:\n  " + "\n  ".join(found))
