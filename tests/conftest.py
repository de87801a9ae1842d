"""One plugin per outside thing.

`make test` runs the tests in several processes, in no fixed order. Each process starts one emulator at its first use
(`emulator_server`) and gives it to one test after the other (`emulator`), so a test may count its requests and logins.
What the processes share needs a lock or a name of its own: ports, files outside `tmp_path`, environments below `.venv`.
Parameters have the same order in every process: sort a set.
"""

from __future__ import annotations

pytest_plugins = (
    "tests.support.emulator",
    "tests.support.machine",
    "tests.support.credentials",
    "tests.support.drivers",
    "tests.support.django",
    "tests.support.django_project",
    "tests.support.cli",
    "tests.support.programs",
    "tests.support.proxy",
)
