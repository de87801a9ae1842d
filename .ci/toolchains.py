"""The Rust compilers of this machine, and the platforms that each can build for."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from root import ROOT

MINGW = "x86_64-w64-mingw32-gcc"


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


@dataclass
class Choice:
    """A toolchain for a target."""

    toolchain: Toolchain
    build_std: bool
    """Whether it has to compile the standard library itself."""

    def environment(self, output: Path, *folders: Path) -> dict[str, str]:
        """Return the variables for a build into `output`, with further folders first on the PATH."""
        cargo = self.toolchain.cargo
        variables = {
            **os.environ,
            "CARGO": str(cargo),
            "RUSTC": str(self.toolchain.rustc),
            "CARGO_TARGET_DIR": str(output),
            "PYO3_CROSS": "1",
            "PATH": os.pathsep.join((*map(str, folders), str(cargo.parent), os.environ["PATH"])),
        }
        if self.build_std:
            variables |= {"RUSTC_BOOTSTRAP": "1", "CARGO_UNSTABLE_BUILD_STD": "std,panic_unwind"}
        return variables


def find() -> list[Toolchain]:
    """Find Rust on the PATH, and the distribution's own behind it."""
    on_path = shutil.which("cargo")
    folders = [Path(on_path).parent] if on_path else []
    folders += [Path("/usr/bin")]
    return [Toolchain(folder) for folder in dict.fromkeys(folders) if (folder / "rustc").exists()]


def choose(target: str, found: list[Toolchain]) -> Choice | None:
    """Choose a toolchain that has the target's standard library, else one that has its sources."""
    ready = next((each for each in found if each.has_target(target)), None)
    if ready:
        return Choice(ready, build_std=False)
    sources = next((each for each in found if each.has_sources), None)
    return Choice(sources, build_std=True) if sources else None


def standard_library(target: str) -> str:
    """Say what a target needs that no toolchain was chosen for."""
    return (
        f"its standard library: `rustup target add {target}` or `rustup component add rust-src`; on Debian the "
        "packages rustc-web, cargo-web and rust-web-src"
    )


def mingw() -> str | None:
    """Say what a build for Windows lacks besides Rust; None if nothing."""
    return None if shutil.which(MINGW) else f"{MINGW}; on Debian the package gcc-mingw-w64-x86-64"
