"""The base class of the parts of `Emulator`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator.services import Services


class Part:
    """Some of the methods of `Emulator`."""

    _services: Services | None

    @property
    def _running(self) -> Services:
        if self._services is None:
            message = "the emulator is not running: use it in `with Emulator() as emulator:`"
            raise RuntimeError(message)
        return self._services
