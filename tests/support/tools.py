"""Fake developer tools: programs that write down how they are called, and say what a test wants them to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.support.platforms import WINDOWS

if TYPE_CHECKING:
    from pathlib import Path

_PROGRAM = """\
#!{python} -IS
import os, socket, subprocess, sys, time
def record(path, *words):
    with open(path, "a", encoding="utf-8") as calls:
        calls.write(" ".join(words) + "\\n")
def say(text, stream=sys.stdout):
    stream.buffer.write(text.encode())
{script}
"""
HANGING = """
def hold(): return socket.create_connection(("127.0.0.1", {port}))
held = hold()
if len(sys.argv) < 2 or sys.argv[1] != "child":
    subprocess.Popen([sys.executable, "-IS", sys.argv[0], "child"])
time.sleep(600)
"""
"""A tool and a process that it starts, each of which holds a connection to a port as long as it runs."""


def install(folder: Path, name: str, script: str) -> None:
    """Make a program, whose script is in Python; `record` appends words to a file, `say` writes text."""
    program = folder / (f"{name}-script.py" if WINDOWS else name)
    program.write_text(_PROGRAM.format(python=sys.executable, script=script), encoding="utf-8")
    program.chmod(0o755)
    if WINDOWS:
        # As the Azure CLI does it.
        (folder / f"{name}.cmd").write_text(f'@"{sys.executable}" -IS "%~dp0{program.name}" %*\n')


def saying(output: str = "", *, errors: str = "", code: int = 0) -> str:
    """Return the script of a program that says this and ends."""
    return f"say({output!r})\nsay({errors!r}, sys.stderr)\nsys.exit({code})"
