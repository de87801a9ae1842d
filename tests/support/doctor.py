"""What `doctor` printed, and servers and distributions for it to find."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


AZURE = "srv.postgres.database.azure.com"
SQL = "-- as an Entra administrator"


class Report(NamedTuple):
    """What doctor printed, and how it ended."""

    code: int
    text: str

    @property
    def verdict(self) -> str:
        """The last line before the SQL."""
        return self.text.partition(SQL)[0].splitlines()[-1]

    @property
    def sql(self) -> str:
        """What follows the verdict."""
        return "".join(self.text.partition(SQL)[1:])

    @property
    def cause(self) -> str:
        return self.verdict.partition(". Remedy: ")[0]

    @property
    def remedy(self) -> str:
        return self.verdict.partition(". Remedy: ")[2]


Doctor = Callable[..., Report]


def install(site: Path, name: str, version: str) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def unresolved(number: int, text: str) -> Callable[..., Any]:
    def fail(host: Any, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(number, text)

    return fail
