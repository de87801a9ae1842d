"""`make soak`, shortened: the pools only, and what fails within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.stress.soak.faults import IDENTITY
from tests.stress.soak.run import soak

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


@pytest.mark.timeout(400)  # on a busy machine
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what a process has open is read from Linux' /proc")
def test_pools_survive_an_unreliable_identity_service(emulator: Emulator, tmp_path: Path) -> None:
    found = soak(emulator, 15, tmp_path, everything=False)
    assert found["judgement"] == [], found
    assert set(IDENTITY) <= set(found["identity service"]["faults"]), "the storm was none"
    assert found["server"]["backends killed"]
