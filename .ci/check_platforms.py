"""Check that the core compiles for every platform that it is for: `make check-platforms`.

Each target needs its standard library, which `rustup target add` or the toolchain's own sources (`-Z build-std`) give,
and a C compiler for ring: mingw for Windows, zig for the others. What is missing is named, and nothing is installed.
Warnings are errors for Windows, whose code no other check sees, and clippy's as well if the toolchain has it (on Debian
the package rust-web-clippy).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import toolchains
from root import ROOT
from toolchains import Toolchain

# Below target/, which is Cargo's own to fill and `make clean`'s to remove; a folder of its own, for other flags.
OUTPUT = ROOT / "target" / "platforms"
TARGETS = (
    "x86_64-pc-windows-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
)


def check(target: str, found: list[Toolchain]) -> str | None:
    """Check one target; return what is missing."""
    choice = toolchains.choose(target, found)
    if choice is None:
        return toolchains.standard_library(target)
    windows = "windows" in target
    if windows and (lacking := toolchains.mingw()):
        return lacking
    zigbuild = shutil.which("cargo-zigbuild")
    if not windows and zigbuild is None:
        return "cargo-zigbuild and zig: `make .venv/wheel` installs them"
    options = ["--locked", "--lib", "--quiet", "--target", target]
    command = lint(choice.toolchain, options) if windows else [str(zigbuild), "check", *options]
    # cargo-zigbuild asks the Python beside it for zig.
    folders = [] if zigbuild is None else [Path(zigbuild).parent]
    subprocess.run(  # noqa: S603
        command,
        check=True,
        cwd=ROOT,
        env=choice.environment(OUTPUT, *folders),
    )
    return None


def lint(toolchain: Toolchain, options: list[str]) -> list[str]:
    """Return the command that checks code of which `make lint` sees nothing: by clippy if the toolchain has it."""
    clippy = toolchain.cargo.with_name("cargo-clippy")
    command = [str(clippy), "clippy"] if clippy.exists() else [str(toolchain.cargo), "rustc", "--profile", "check"]
    return [*command, *options, "--", "-D", "warnings"]


def main() -> int:
    """Check the targets named, or all; fail unless all of them compile."""
    found = toolchains.find()
    unchecked = []
    for target in sys.argv[1:] or TARGETS:
        begun = time.monotonic()
        try:
            lacking = check(target, found)
        except subprocess.CalledProcessError:
            outcome = "does not compile"
        else:
            outcome = f"not checked; it needs {lacking}" if lacking else f"compiles ({time.monotonic() - begun:.0f} s)"
        if not outcome.startswith("compiles"):
            unchecked.append(target)
        sys.stdout.write(f"{target}: {outcome}\n")
        sys.stdout.flush()
    return 1 if unchecked else 0


if __name__ == "__main__":
    sys.exit(main())
