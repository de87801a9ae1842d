"""Build the Linux wheels for other machines than this one, each in its own folder below dist/: `make wheels`.

Zig links each against an old libc. A target needs its standard library, which `rustup target add` or the toolchain's
own sources (`-Z build-std`) give. What is missing is named, and nothing is installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import toolchains
from root import ROOT
from toolchains import Toolchain

COMPATIBILITY = {
    "x86_64-unknown-linux-gnu": "manylinux2014",
    "aarch64-unknown-linux-gnu": "manylinux2014",
    "x86_64-unknown-linux-musl": "musllinux_1_2",
    "aarch64-unknown-linux-musl": "musllinux_1_2",
}
# A wheel for musl is a shared library of the musl that is there, not of the one that Rust brings.
MUSL = "-C target-feature=-crt-static -C link-self-contained=no"
SCRIPTS = Path(sysconfig.get_path("scripts"))


def build(target: str, found: list[Toolchain], options: list[str]) -> str | None:
    """Build the wheel of one target; return what is missing."""
    choice = toolchains.choose(target, found)
    if choice is None:
        return toolchains.standard_library(target)
    folder = ROOT / "dist" / target
    for old in folder.glob("*.whl"):
        old.unlink()
    flags = [os.environ.get("RUSTFLAGS", ""), MUSL if "musl" in target else ""]
    environment = {
        **choice.environment(ROOT / "target" / "wheels-for", SCRIPTS),
        "RUSTFLAGS": " ".join(filter(None, flags)),
    }
    command = [str(SCRIPTS / "maturin"), "build", "--locked", "--zig", "--compatibility", COMPATIBILITY[target]]
    subprocess.run(  # noqa: S603
        [*command, "--target", target, "--out", str(folder), *options], check=True, cwd=ROOT, env=environment
    )
    (wheel,) = folder.glob("*.whl")
    examine(wheel)
    return None


def examine(wheel: Path) -> None:
    """Finish the wheel, and check that it is what its name says."""
    subprocess.run([sys.executable, str(ROOT / ".ci" / "finish.py"), str(wheel)], check=True)  # noqa: S603
    subprocess.run([str(SCRIPTS / "abi3audit"), "--strict", str(wheel)], check=True)  # noqa: S603
    musl = "musllinux" in wheel.name
    with TemporaryDirectory() as empty:
        # Else auditwheel looks for musl's library among this machine's, which are glibc's.
        places = ["--ldpaths", empty] if musl else []
        shown = subprocess.run(  # noqa: S603
            [str(SCRIPTS / "auditwheel"), "show", "--json", *places, str(wheel)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = json.loads(shown)
    if musl:
        # auditwheel expects the name that Alpine's linker writes; musl takes every `libc.*` for itself.
        fits = found["sym_tag"].startswith("musllinux_1_2_") and set(found["external_libs"]) == {"libc.so"}
    else:
        fits = found["overall_tag"].startswith("manylinux_2_17_")
    if not fits:
        sys.exit(f"{wheel.name} is not what its name says:\n{shown}")
    sys.stdout.write(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB\n")


def main() -> int:
    """Build the targets named, or all, with maturin's options behind them; fail unless all of them were built."""
    targets = [argument for argument in sys.argv[1:] if not argument.startswith("-")] or list(COMPATIBILITY)
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    found = toolchains.find()
    unbuilt = []
    for target in targets:
        begun = time.monotonic()
        lacking = build(target, found, options)
        if lacking:
            unbuilt.append(target)
        outcome = f"not built; it needs {lacking}" if lacking else f"built ({time.monotonic() - begun:.0f} s)"
        sys.stdout.write(f"{target}: {outcome}\n")
        sys.stdout.flush()
    return 1 if unbuilt else 0


if __name__ == "__main__":
    sys.exit(main())
