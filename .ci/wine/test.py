"""Run tests on CPython for Windows under Wine: `test.py 3.13 proactor [PYTEST ARGUMENTS...]`.

Everything goes below target/wine: CPython for Windows and the tests' packages, from PyPI at the first run, and the
extension. The PostgreSQL behind the emulator runs on this machine. Nothing else is installed; what is missing is named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

import toolchains  # noqa: E402
from root import ROOT  # noqa: E402

from tests.support.wheels import interpreter  # noqa: E402

TARGET = "x86_64-pc-windows-gnu"
TIMEOUT = 600
"""Seconds for one test: programs start slowly under Wine, and pytest-timeout ends the whole run there."""
PROCESSES = 2
"""How many run tests; each has a PostgreSQL of its own, because tests change roles and look at sessions."""
REQUIREMENTS = HERE / "requirements.txt"
WORK = ROOT / "target" / "wine"


def main() -> int:
    """Build what is not there yet, and run pytest."""
    version, loop, *arguments = sys.argv[1:]
    choice = toolchains.choose(TARGET, toolchains.find())
    library = interpreter(version)
    lacking = [
        None if shutil.which("wine") else "wine; on Debian the packages wine and wine64",
        toolchains.mingw(),
        None if choice else f"Rust for {TARGET}, which lacks {toolchains.standard_library(TARGET)}",
        None if library else f"CPython {version}, on the PATH or of pyenv, whose standard library is used",
    ]
    if choice is None or library is None or any(lacking):
        sys.stderr.write("The tests on Windows were not run. They need:\n")
        sys.stderr.writelines(f"- {each}\n" for each in lacking if each)
        return 1
    python = WORK / f"python-{version}"
    ready = python / "ready"
    if not ready.exists() or ready.read_bytes() != REQUIREMENTS.read_bytes():
        sys.stderr.write(f"Downloading CPython {version} for Windows and the tests' packages from PyPI to {python}.\n")
        install(python, version, library)
    sys.stderr.write("Building the extension for Windows; the first time this takes some minutes.\n")
    build(choice)
    site = python / "Lib" / "site-packages"
    (site / "package.pth").write_text(f"Z:{ROOT}/python\n".replace("/", "\\"))
    for metadata in Path(sysconfig.get_path("purelib")).glob("azure_postgresql_auth_rs-*.dist-info"):
        shutil.copytree(metadata, site / metadata.name, dirs_exist_ok=True)
    environment = {**os.environ, "EVENT_LOOP": loop, "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9"}
    servers = [sys.executable, HERE / "postgresql.py", str(PROCESSES)]
    options = ["-p", "no:cacheprovider", f"--timeout={TIMEOUT}", f"--numprocesses={PROCESSES}", "--dist=worksteal"]
    command = [*servers, python / "run", "-m", "pytest", *options, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603


def install(python: Path, version: str, library: str) -> None:
    """Make a CPython for Windows with the tests' packages."""
    shutil.rmtree(python, ignore_errors=True)
    subprocess.run([HERE / "make-python.sh", python, version, library, sys.executable], check=True)  # noqa: S603
    pip = [sys.executable, "-m", "pip", "--quiet", "install", "--target", python / "Lib" / "site-packages"]
    system = ["--platform", "win_amd64", "--implementation", "cp", "--python-version", version]
    requirements = ["--only-binary=:all:", "--no-compile", "--requirement", REQUIREMENTS]
    subprocess.run([*pip, *system, *requirements], check=True)  # noqa: S603
    # Programs that the tests start would compile it all under Wine. Files that are wrong on purpose are no failure.
    compiling = [library, "-m", "compileall", "-qq", "-j", "2", python / "Lib"]
    subprocess.run(compiling, check=False, stderr=subprocess.DEVNULL)  # noqa: S603
    shutil.copy(REQUIREMENTS, python / "ready")


def build(choice: toolchains.Choice) -> None:
    """Build the extension into the package, in the profile that builds quickly."""
    output = WORK / "build"
    command = [choice.toolchain.cargo, "build", "--locked", "--lib", "--quiet", "--target", TARGET]
    subprocess.run(command, check=True, cwd=ROOT, env=choice.environment(output))  # noqa: S603
    built = output / TARGET / "debug" / "_core.dll"
    shutil.copy(built, ROOT / "python" / "azure_postgresql_auth" / "_core.pyd")


if __name__ == "__main__":
    sys.exit(main())
