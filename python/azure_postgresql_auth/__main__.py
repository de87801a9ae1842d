"""`python -m azure_postgresql_auth` is the command line."""

from __future__ import annotations

import sys

from azure_postgresql_auth.cli import main

if __name__ == "__main__":
    sys.exit(main())
