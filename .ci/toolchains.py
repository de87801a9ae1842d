"""The Rust compilers of this machine, and the platforms that each can build for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Toolchain:
    """A Rust compiler and its Cargo."""

    def __init__(self, folder: Path) -> None:
        self.cargo, self.rustc = folder / "cargo", folder / "rustc"
        library = Path(self._ask("--print", "sysroot")) / "lib" / "rustlib"
        self.has_sources = (library / "src" / "rust" / "library" / "Cargo.lock").exists()

    def has_target(self, target: str) -> bool:
        """Whether the target's standard library is there."""
        return any(Path(self._ask("--print", "target-libdir", "--target", target)).glob("libstd-*.rlib"))

    def _ask(self, *arguments: str) -> str:
        asked = subprocess.run(  # noqa: S603
            [self.rustc, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
        )
        return asked.stdout.strip()


def find() -> list[Toolchain]:
    """Find Rust on the PATH, and the distribution's own behind it."""
    on_path = shutil.which("cargo")
    folders = [Path(on_path).parent] if on_path else []
    folders += [Path("/usr/bin")]
    return [Toolchain(folder) for folder in dict.fromkeys(folders) if (folder / "rustc").exists()]
