"""Write THIRD_PARTY_LICENSES: the licences of the crates that the compiled library links, with their texts.

`python .ci/licenses.py` writes the file; `--check` fails if it or the licence expression in pyproject.toml is out of
date. The texts are in the crates' sources, which Cargo downloads if necessary.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from textwrap import indent
from typing import NamedTuple

import cargo
from root import ROOT

FILE = ROOT / "THIRD_PARTY_LICENSES"
# The targets of wheels. Build scripts and procedural macros are not linked.
TARGETS = (
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-pc-windows-gnu",
    "aarch64-pc-windows-msvc",
)
# Phrases that identify the text of each licence. Of a crate's alternatives, the first one here is chosen.
LICENSES = {
    "MIT": "Permission is hereby granted",
    "Apache-2.0": "Apache License",
    "BSD-3-Clause": "Redistribution and use",
    "CDLA-Permissive-2.0": "Community Data License Agreement",
    "ISC": "Permission to use, copy, modify",
}
NAMES = {"MIT": "mit", "Apache-2.0": "apache"}
MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
HEAD = """\
The compiled library in the wheels of azure-postgresql-auth-rs links Rust's standard library and these crates, not all
of them on every platform. Where a crate offers a choice of licences, one is chosen and named here.

Made from Cargo.lock by `make licenses`.
"""
RULE = "=" * 120


class Crate(NamedTuple):
    """A crate that is linked."""

    name: str
    version: str
    licenses: tuple[str, ...]
    texts: tuple[str, ...]


def linked() -> list[Crate]:
    """Return the crates that the library links, on all targets together."""
    metadata = json.loads(cargo.run("metadata", "--format-version=1"))
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    found = cargo.tree("normal,no-proc-macro", *TARGETS)
    return [crate(packages[key]) for key in sorted(found) if key in packages and key[0] != "azure-postgresql-auth-rs"]


def crate(package: dict[str, str]) -> Crate:
    """Choose among a package's licences, and read their texts."""
    licenses = chosen(package["license"] or "")
    folder = Path(package["manifest_path"]).parent
    # The licences of vendored code are in subfolders.
    found = (path for path in folder.rglob("*") if re.match(r"(?i)licen[sc]e|copying", path.name))
    files = sorted(path for path in found if path.is_file())
    top = [path for path in files if path.parent == folder]
    texts = []
    for license_ in licenses:
        named = [path for path in top if NAMES.get(license_, license_.lower()) in path.name.lower()]
        own = [text for text in map(read, named or top) if LICENSES[license_] in text]
        if not own and license_ == "MIT":
            holder = ", ".join(re.sub(r" *<.*?>", "", author) for author in package["authors"])
            own = [f"Copyright (c) {holder or 'the authors of ' + package['name']}\n\n{MIT.rstrip()}"]
        if not own:
            sys.exit(f"{package['name']} {package['version']}: no text of {license_} among its files")
        texts += own
    if len(licenses) > 1:
        texts += map(read, top)
    texts += [read(path) for path in files if path.parent != folder and not path.name.endswith("-APACHE")]
    if "Apache-2.0" in licenses:
        texts += [read(path) for path in sorted(folder.glob("NOTICE*"))]
    return Crate(package["name"], package["version"], licenses, tuple(dict.fromkeys(texts)))


def chosen(expression: str) -> tuple[str, ...]:
    """Return the licences that have to be followed.

    >>> chosen("(MIT OR Apache-2.0) AND ISC")
    ('MIT', 'ISC')
    """
    parts = re.split(r" AND ", expression.replace("/", " OR "))
    found = []
    for part in parts:
        offered = part.strip("()").split(" OR ")
        license_ = next((known for known in LICENSES if known in offered), None)
        if license_ is None:
            sys.exit(f"no licence of {expression!r} is among those that are accepted: {', '.join(LICENSES)}")
        found.append(license_)
    return tuple(found)


def read(path: Path) -> str:
    """Return a text without surrounding whitespace, and without whitespace at the ends of lines."""
    return "\n".join(line.rstrip() for line in path.read_text("utf-8").strip().splitlines()).strip("\n")


def rendered(crates: list[Crate]) -> str:
    """Return the file's content: each text once, with all crates that it applies to.

    Most crates have the same text of the MIT licence below a copyright notice of their own. It follows their notices.
    """
    groups: dict[tuple[str, ...], list[Crate]] = {}
    notices = {"Copyright (c) The Rust Project Contributors": ["Rust's standard library"]}
    for each in crates:
        notice = copyright_notice(each.texts[0]) if len(each.texts) == 1 else None
        if notice is None:
            groups.setdefault(each.texts, []).append(each)
        else:
            notices.setdefault(notice, []).append(f"{each.name} {each.version}")
    parts = [HEAD, f"{RULE}\nThe MIT licence of the following, which comes after their copyright notices.\n"]
    for notice, names in notices.items():
        parts.append("\n".join(names) + "\n" + indent(notice or "(no copyright notice)", "  ") + "\n")
    parts.append(MIT)
    for texts, members in groups.items():
        titles = [f"{member.name} {member.version}: {' AND '.join(member.licenses)}" for member in members]
        parts.append(f"{RULE}\n" + "\n".join(titles) + "\n\n" + "\n\n".join(texts) + "\n")
    return "\n".join(parts)


def copyright_notice(text: str) -> str | None:
    """Return what precedes the permission in a text of the MIT licence that is otherwise the common one."""
    notice, begin, _ = text.partition(LICENSES["MIT"])
    same = begin and words(text[len(notice) :]) == words(MIT)
    return re.sub(r"(?i)\A(the )?mit license( \(mit\))?\s+", "", notice).strip() if same else None


def words(text: str) -> list[str]:
    """Return a text's words, whose quotation marks and line breaks vary."""
    return re.sub(r"[\"'“”]", "", text).split()


def expression(crates: list[Crate]) -> str:
    """Return the wheel's licence expression, which begins with the package's own licence, MIT."""
    return " AND ".join(["MIT", *sorted({license_ for each in crates for license_ in each.licenses} - {"MIT"})])


def main() -> None:
    """Write or check the file."""
    crates = linked()
    content, declared = rendered(crates), f'license = "{expression(crates)}"'
    if "--check" not in sys.argv:
        FILE.write_text(content, "utf-8")
    elif not FILE.exists() or FILE.read_text("utf-8") != content:
        sys.exit(f"{FILE.name} is out of date; run `make licenses`")
    if declared not in (ROOT / "pyproject.toml").read_text("utf-8").splitlines():
        sys.exit(f"pyproject.toml does not say what the wheel holds: {declared}")


if __name__ == "__main__":
    main()
