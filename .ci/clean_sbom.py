"""Takes the builder's folder out of a wheel's SBOM; cargo-cyclonedx puts it there (its issue 556)."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from pathlib import Path
from zipfile import ZipFile

NAME = "azure-postgresql-auth-rs"


def cleaned(sbom: bytes) -> bytes:
    """Return the SBOM with the package itself called what its registry would call it."""
    sbom = re.sub(rb'path\+file://[^"]*?#(?:[\w-]+@)?(\d[^" ]*)', rf"pkg:cargo/{NAME}@\1".encode(), sbom)
    return re.sub(rb'\?download_url=file:[^"#]*', b"", sbom)


def main(path: Path) -> None:
    """Rewrite the wheel: the SBOM, and its hash and size in RECORD."""
    with ZipFile(path) as wheel:
        members = [(info, wheel.read(info)) for info in wheel.infolist()]
    record = {}
    for index, (info, content) in enumerate(members):
        if info.filename.endswith(".cyclonedx.json"):
            content = cleaned(content)  # noqa: PLW2901 - this is what the loop is for
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record[info.filename] = f"{info.filename},sha256={digest},{len(content)}"
            members[index] = info, content
    fresh = path.with_suffix(".new")
    with ZipFile(fresh, "w") as wheel:
        for info, content in members:
            if info.filename.endswith(".dist-info/RECORD"):
                lines = content.decode().splitlines()
                content = ("\n".join(record.get(line.split(",")[0], line) for line in lines) + "\n").encode()  # noqa: PLW2901
            wheel.writestr(info, content, compress_type=info.compress_type, compresslevel=9)
    fresh.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
