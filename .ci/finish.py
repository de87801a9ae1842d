"""Post-process a wheel or an sdist that maturin has built, in place.

- PyPI shows the README, whose links point into the repository. They become absolute links, or plain text while the
  repository has no address (`.ci/repository.py`).
- The SBOM in a wheel becomes that of this wheel (`.ci/sbom.py`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import repository
import sbom


def linked(metadata: bytes) -> bytes:
    """Return the metadata with a description whose links work on PyPI."""
    head, _, readme = metadata.decode().partition("\n\n")
    return f"{head}\n\n{repository.relinked(readme, _absolute)}".encode()


def _absolute(target: str) -> str | None:
    path, _, anchor = target.partition("#")
    return repository.address(path, anchor) if path else target


def finished(archive: Path, name: str, content: bytes) -> bytes:
    """Return the new contents of a file of the archive."""
    if name.endswith((".dist-info/METADATA", "/PKG-INFO")):
        return linked(content)
    if name.endswith(".cyclonedx.json"):
        return sbom.cleaned(content, archive.stem.rpartition("-")[2])
    return content


def wheel(path: Path) -> None:
    """Rewrite the wheel, with the hashes and sizes in RECORD."""
    with ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    record = {}
    for index, (info, old) in enumerate(members):
        new = finished(path, info.filename, old)
        if new != old:
            digest = base64.urlsafe_b64encode(hashlib.sha256(new).digest()).rstrip(b"=").decode()
            record[info.filename] = f"{info.filename},sha256={digest},{len(new)}"
            members[index] = info, new
    fresh = path.with_suffix(".new")
    with ZipFile(fresh, "w") as archive:
        for info, content in members:
            if info.filename.endswith(".dist-info/RECORD"):
                lines = content.decode().splitlines()
                content = ("\n".join(record.get(line.split(",")[0], line) for line in lines) + "\n").encode()  # noqa: PLW2901
            archive.writestr(info, content, compress_type=info.compress_type, compresslevel=9)
    fresh.replace(path)


def sdist(path: Path) -> None:
    """Rewrite the sdist."""
    fresh = path.with_suffix(".new")
    with tarfile.open(path) as old, tarfile.open(fresh, "w:gz") as new:
        for member in old:
            file = old.extractfile(member)
            content = finished(path, member.name, file.read()) if file else b""
            member.size = len(content)
            new.addfile(member, io.BytesIO(content) if file else None)
    fresh.replace(path)


if __name__ == "__main__":
    archive = Path(sys.argv[1])
    (wheel if archive.suffix == ".whl" else sdist)(archive)
