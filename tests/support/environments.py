"""Virtual environments for programs and versions that are not installed in this one.

They are created once, below `.venv`, and kept, so that later runs need no network.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.wheels import interpreter

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv" / "environments"
# For uv, before other fixtures remove proxies and certificates from the environment.
OUTER_WORLD = dict(os.environ)


@dataclass(frozen=True)
class Environment:
    """The packages, and the versions of Python to use, in order of preference."""

    name: str
    requirements: tuple[str, ...]
    pythons: tuple[str, ...] = ("3.12", "3.11", "3.13", "3.10")
    without: tuple[str, ...] = ()
    """Required packages that are not installed, because they take gigabytes and are not used."""
    seconds: float = 900.0
    """Timeout of the installation, in seconds."""

    @property
    def folder(self) -> Path:
        """The environment's path."""
        return ENVIRONMENTS / self.name

    @functools.cache  # noqa: B019 - the objects are few, and live as long as the process
    def python(self) -> Path:
        """Return its interpreter, for which this package is installed as it lies here; make it if need be.

        Skips the test, with the reason, where that is not possible.
        """
        python, done = self.folder / "bin" / "python", self.folder / "done"
        wanted = " ".join([*self.requirements, *(f"without {package}" for package in self.without)])
        if not done.is_file() or done.read_text("utf-8") != wanted:
            base = next(filter(None, map(interpreter, self.pythons)), None)
            if base is None:
                pytest.skip(f"{self.name} needs CPython {' or '.join(self.pythons)}, and there is none here")
            try:
                installed = self._install(base)
            except subprocess.TimeoutExpired:
                pytest.skip(f"{wanted} could not be installed within {self.seconds:g} s")
            if installed.returncode:
                pytest.skip(f"{wanted} could not be installed: {' '.join(installed.stderr.split())}")
            done.write_text(wanted, "utf-8")
        self._link()
        return python

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _install(self, base: str) -> subprocess.CompletedProcess[str]:
        # Without a cache, which would take gigabytes. uv takes seconds, pip minutes.
        uv = [sys.executable, "-m", "uv", "--quiet", "--no-cache"]
        subprocess.run([*uv, "venv", "--clear", "--python", base, str(self.folder)], env=OUTER_WORLD, check=True)
        overrides = self.folder / "without.txt"
        overrides.write_text("".join(f"{package}; sys_platform == 'never'\n" for package in self.without), "utf-8")
        command = [
            *uv,
            "pip",
            "install",
            "--python",
            str(self.folder),
            "--overrides",
            str(overrides),
            *self.requirements,
        ]
        return subprocess.run(
            command, env=OUTER_WORLD, capture_output=True, text=True, timeout=self.seconds, check=False
        )

    def _link(self) -> None:
        """Install this package as `maturin develop` does; the extension works with every version of Python."""
        here = Path(sys.prefix).glob("lib/python*/site-packages/azure_postgresql_auth_rs*")
        (packages,) = self.folder.glob("lib/python*/site-packages")
        for source in here:
            if source.is_dir():
                shutil.copytree(source, packages / source.name, dirs_exist_ok=True)
            else:
                shutil.copy(source, packages)
