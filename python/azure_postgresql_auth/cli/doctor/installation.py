"""Check the installed packages and drivers."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from typing import TYPE_CHECKING

import azure_postgresql_auth
from azure_postgresql_auth.cli import drivers
from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, WARNING, Context, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = "azure-postgresql-auth-rs"
_MICROSOFTS = "azure-postgresql-auth"


def check(context: Context) -> Iterator[Finding]:
    """Versions; whether Microsoft's package lies in the same folder."""
    del context
    version = azure_postgresql_auth.__version__
    yield Finding(OK, f"{_OURS} {version}, {platform.python_implementation()} {platform.python_version()}")
    if _in_our_folder(_MICROSOFTS):
        yield Finding(
            FAILURE,
            f"{_MICROSOFTS} {_installed(_MICROSOFTS)} is installed, too",
            f"{_MICROSOFTS} and {_OURS} are both installed, and one has overwritten files of the other",
            f"pip uninstall {_MICROSOFTS} {_OURS}, then install {_OURS} again",
        )
    for driver in drivers.ALL:
        yield from _driver(driver)
    if not any(_installed(driver.distribution) for driver in drivers.ALL):
        extra = drivers.ALL[0].extra
        yield Finding(
            OK, f"no driver; pip install '{_OURS}[{extra}]' would add psycopg, and doctor would try the login"
        )


def _in_our_folder(distribution: str) -> bool:
    """Whether it is installed with files of our package; a stand-in that satisfies requirements has none."""
    try:
        files = metadata.distribution(distribution).files
    except metadata.PackageNotFoundError:
        return False
    return files is None or any(file.parts[0] == azure_postgresql_auth.__name__ for file in files)


def _driver(driver: drivers.Driver) -> Iterator[Finding]:
    version = next(filter(None, map(_installed, driver.distributions)), "")
    if not version:
        return
    try:
        library = driver.libpq()
    except ImportError as error:
        text = str(error).strip().replace("\n", " ")
        yield Finding(
            WARNING,
            f"{driver.name} {version} cannot be loaded: {text}",
            f"{driver.name} is installed but cannot be loaded ({text})",
            f"pip install --upgrade '{_OURS}[{driver.extra}]'",
        )
        return
    needed = _needed(driver.extra)
    if needed and _numbers(version) < _numbers(needed):
        yield Finding(
            WARNING,
            f"{driver.name} {version} is older than {needed}",
            f"{driver.name} {version} is older than {needed}, which this package is made for",
            f"pip install --upgrade '{_OURS}[{driver.extra}]'",
        )
        return
    yield Finding(OK, f"{driver.name} {version}{f' on libpq {library}' if library else ''}")


def _needed(extra: str) -> str:
    """Return the version that this package's extra requires."""
    try:
        requirements = metadata.requires(_OURS) or []
    except metadata.PackageNotFoundError:
        return ""
    pattern = re.compile(
        rf"(?:psycopg|psycopg2|psycopg2-binary|asyncpg)(?:\[\w+\])?\s*>=\s*([\d.]+).*extra == ['\"]{extra}['\"]"
    )
    return next((match[1] for text in requirements if (match := pattern.match(text))), "")


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
