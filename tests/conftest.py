"""One plugin per outside thing."""

from __future__ import annotations

pytest_plugins = (
    "tests.fix_emulator",
    "tests.fix_machine",
    "tests.fix_credentials",
    "tests.fix_drivers",
    "tests.fix_django",
    "tests.fix_django_project",
    "tests.fix_cli",
    "tests.fix_proxy",
)
