"""`make soak`, shortened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.stress.soak import FAULTS, soak

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what a process has open is read from Linux' /proc")
def test_pools_in_a_storm(emulator: Emulator) -> None:
    found = soak(emulator, 15)
    assert found["judgement"] == [], found
    by_fault = found["identity service"]["by fault"]
    assert len(by_fault) > len(FAULTS) / 2, "the storm was none"
    assert found["server"]["backends killed"]
