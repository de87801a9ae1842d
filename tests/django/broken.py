"""A module that fails when it is imported, as one does that reads a variable that is not set."""

from __future__ import annotations

import os

credential = os.environ["VAULT"]
