"""`doctor`: walks the whole way of a login and says for each step what it saw, and what to do.

Each step is a module with a `check`, which takes the case and gives its findings. A step that cannot be taken because
an earlier one failed is left out; those that do not depend on it are taken all the same. The last line names the one
cause and its remedy.
"""

from __future__ import annotations

from azure_postgresql_auth.cli.doctor.runner import run

__all__ = ["run"]
