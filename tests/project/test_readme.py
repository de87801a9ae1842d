"""What the documentation names exists: targets, extras, links, and in the changelog everything public."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import finish
import pytest
import repository

from tests.support.documentation import PAGES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

PUBLIC_MODULES = (
    "asyncpg",
    "core",
    "emulator",
    "errors",
    "identity",
    "psycopg2",
    "psycopg3",
    "service_connector",
    "sqlalchemy",
)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert {"demo", "docs", "test", "wheel"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_extras_exist() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    install = (ROOT / "docs/install.md").read_text("utf-8")
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = {extra for extras in re.findall(r"\.whl\)\[([a-z0-9,]+)\]", text) for extra in extras.split(",")}
    in_table = set(
        re.findall(r"^\| `([a-z0-9]+)` \|", install.partition("| extra |")[2].partition("\n\n")[0], re.MULTILINE)
    )
    extras = pyproject.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    assert in_table == set(re.findall(r"^([a-z0-9]+) = \[", extras, re.MULTILINE))
    assert {"emulator", "sqlalchemy"} < named <= in_table


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """In the repository. `make docs` checks those of the site, with their anchors."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    # By `make docs`.
    made = {"changelog.md", "reference/command-line.md", "reference/environment.md", "reference/error-codes.md"}
    targets = {link: (page.parent / link).resolve() for link in links}
    generated = {ROOT / "docs" / name for name in made}
    assert [link for link, target in targets.items() if not target.is_file() and target not in generated] == []


def test_troubleshooting_has_texts_as_they_are() -> None:
    """Those of this package; the others are PostgreSQL's and the drivers'."""
    sources = [*(ROOT / "src").rglob("*.rs"), *(ROOT / "python").rglob("*.py")]
    joined = re.sub(r'\\\n\s*|"\n\s*f?"', "", "\n".join(path.read_text("utf-8") for path in sources))
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    for heading in ("Messages about the token", "What the doctor's exit code means"):
        table = page.partition(f"## {heading}")[2].partition("\n## ")[0]
        column = 1 if heading.startswith("Messages") else 2
        cells = [row.split("|")[column] for row in re.findall(r"^\| .*", table, re.MULTILINE)]
        texts = [text for cell in cells for text in re.findall("`([^`]+)`", cell)]
        assert len(texts) > 5
        fragments = [part.strip(" .;,") for text in texts for part in text.split("...")]
        foreign = {"invalid peer certificate"}
        assert [part for part in fragments if part not in joined and part not in foreign] == []


PAGE = """\
See [the `[a]` page](docs/tls.md#modes), [docs](docs/), [elsewhere](https://example.org) and [below](#why).
![chart](benches/charts/startup.svg)
```text
[not a link](docs/tls.md)
```
"""


def test_what_pypi_shows_has_absolute_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "url", lambda: "https://example.org/owner/name/")
    metadata = finish.linked(f"Name: x\n\n{PAGE}".encode()).decode()
    assert metadata == f"Name: x\n\n{PAGE}".replace(
        "(docs/tls.md#modes)", "(https://example.org/owner/name/blob/main/docs/tls.md#modes)"
    ).replace("(docs/)", "(https://example.org/owner/name/tree/main/docs/)").replace(
        "(benches/", "(https://example.org/owner/name/raw/main/benches/"
    )


def test_what_pypi_shows_has_no_dead_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository may have no address; then there are texts instead."""
    monkeypatch.setattr(repository, "url", lambda: None)
    assert finish.linked(f"Name: x\n\n{PAGE}".encode()).decode().partition("```")[0] == (
        "Name: x\n\nSee the `[a]` page, docs, [elsewhere](https://example.org) and [below](#why).\n\n"
    )


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_changelog_names_everything_public(name: str) -> None:
    module = importlib.import_module(f"azure_postgresql_auth.{name}")
    defined = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    public = getattr(module, "__all__", [key for key in defined if not key.startswith("_")])
    assert public
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    entry = re.search(rf"^- `azure_postgresql_auth\.{name}`.*?(?=^- |\Z)", changelog, re.DOTALL | re.MULTILINE)
    assert entry
    assert [key for key in public if f"`{key}`" not in entry[0]] == []
