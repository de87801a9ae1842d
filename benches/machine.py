"""Describe the machine that figures come from and its load, without identifying it."""

from __future__ import annotations

import os
import platform
import sysconfig
from pathlib import Path


def description() -> dict[str, str | int]:
    """Return the processor, the system and the version of Python."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": _python(),
    }


def _python() -> str:
    """Return version and build; without profile-guided optimization everything takes up to twice as long."""
    optimized = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return platform.python_version() + ("" if optimized else " (built without optimizations)")


class Noise:
    """Measures the share of CPU time that was lost to other virtual machines and programs."""

    def __init__(self) -> None:
        """Start to measure."""
        self._begun = _jiffies()
        self._load = os.getloadavg()[0]

    def figures(self) -> dict[str, float]:
        """Return the share of stolen CPU time, and the load at the start and now."""
        now = _jiffies()
        spent = [after - before for before, after in zip(self._begun, now)]
        return {
            "steal, %": round(100 * spent[7] / max(1, sum(spent[:8])), 1),
            "load before": round(self._load, 2),
            "load after": round(os.getloadavg()[0], 2),
        }


def _jiffies() -> list[int]:
    """Return user, nice, system, idle, iowait, irq, softirq and steal times; see proc(5)."""
    with Path("/proc/stat").open(encoding="ascii") as stat:
        return [int(word) for word in stat.readline().split()[1:]]
