"""What a soak excuses, and what it does not."""

from __future__ import annotations

import pytest

from tests.stress.soak.events import Failure
from tests.stress.soak.faults import Window
from tests.stress.soak.judgement import reason

REFUSED = "OperationalError: FATAL:  An error occurred while validating the access token."
TIMED_OUT = "ConnectionTimeout: connection timeout expired"
CLOCK = Window("clock", "+0 s", 100.0, 105.0)
BUSY = Window("busy machine", "a login without the library was slow", 100.0, 110.0)


def failure(error: str, begun: float, *, is_login: bool = False, asked_in_vain: bool = False) -> Failure:
    """Return the failure of a process whose token is good for a minute more."""
    return Failure("django", "gunicorn", begun, begun + 1, error, is_login, begun + 60, asked_in_vain)


@pytest.mark.parametrize(
    ("failed", "window", "why"),
    [
        (failure(REFUSED, 104, is_login=True), CLOCK, "clock: +0 s"),
        (failure(REFUSED, 110, is_login=True), CLOCK, ""),
        (failure(REFUSED, 110, is_login=True, asked_in_vain=True), CLOCK, "no token instead of one that was refused"),
        (failure(REFUSED, 300, is_login=True, asked_in_vain=True), CLOCK, ""),
        (failure(REFUSED, 50, is_login=True, asked_in_vain=True), CLOCK, ""),
        (failure(TIMED_OUT, 105), BUSY, "busy machine: a login without the library was slow"),
        (failure(TIMED_OUT, 120), BUSY, ""),
        (failure(REFUSED, 105, is_login=True), BUSY, ""),
    ],
)
def test_reason(failed: Failure, window: Window, why: str) -> None:
    assert reason(failed, [window]) == why
