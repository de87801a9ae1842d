"""The crates of a build, as Cargo resolves them."""

from __future__ import annotations

import subprocess

from root import ROOT


def run(*arguments: str) -> str:
    """Return the output of a cargo command."""
    command = ["cargo", *arguments, "--locked", "--quiet"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603


def tree(edges: str, *targets: str) -> set[tuple[str, ...]]:
    """Return names and versions of the crates that this package depends on, on all targets together.

    Args:
        edges: the kinds of dependencies to follow, as `cargo tree --edges` takes them.
        targets: Rust's names of the targets.
    """
    chosen = [argument for target in targets for argument in ("--target", target)]
    lines = run("tree", f"--edges={edges}", "--format={p}", "--prefix=none", "--no-dedupe", *chosen).splitlines()
    return {tuple(line.replace(" v", " ", 1).split()[:2]) for line in lines if line}
