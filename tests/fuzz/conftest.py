"""Inputs drawn by Hypothesis: few and always the same ones in `make test`, many and new ones in `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A busy machine is slow, which is no fault of what is tested.
_COMMON = settings(database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("repeatable", _COMMON, derandomize=True, max_examples=200)
settings.register_profile("deep", _COMMON, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "20000")))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
