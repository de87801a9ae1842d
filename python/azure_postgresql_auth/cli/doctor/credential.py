"""Check the default credential, and report the result of each credential that it tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth import core
from azure_postgresql_auth._engine import registry
from azure_postgresql_auth.cli.doctor import clocks
from azure_postgresql_auth.cli.doctor.finding import (
    FAILURE,
    OK,
    PASSED_OVER,
    WARNING,
    Advice,
    Context,
    Finding,
    Stopwatch,
)
from azure_postgresql_auth.errors import AzurePgEntraError, ErrorReport
from azure_postgresql_auth.identity import DefaultAzureCredential

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from azure_postgresql_auth.errors import Attempt

_SEE_ABOVE: Final = "see its message above; --debug logs every request"
_VERBS: Final = {
    "not_ready": "is not ready",
    "misconfigured": "is misconfigured",
    "no_answer": "got no usable answer",
    "refused": "was refused",
    "throttled": "was refused",
}
"""The description of each status of an attempt."""


def check(context: Context) -> Iterator[Finding]:
    """Request a token from the default credential, and report the result of each credential that it tried."""
    if context.plan.has_credentials:
        yield Finding(PASSED_OVER, "user and password are given, so no token is requested")
        return
    clock = Stopwatch()
    try:
        context.credential = DefaultAzureCredential()
        context.token = core.login(context.credential, context.scope, user_known=True).password
    except AzurePgEntraError as error:
        yield from _failed(context, error, error.report.attempts or _asked(context), clock.seconds)
    except ValueError as error:
        yield Finding(FAILURE, str(error), str(error), _SEE_ABOVE, seconds=clock.seconds)
    else:
        attempts = _asked(context)
        yield from map(_passed_over, attempts[:-1])
        yield _succeeded(context, attempts[-1]) if attempts else Finding(OK, "a token", seconds=clock.seconds)


def failure(error: AzurePgEntraError) -> Finding:
    """Return the finding that no credential returned a token."""
    report = error.report
    if report.attempts:
        return Finding(FAILURE, _shown(report.attempts[-1]), *_explained(report.attempts[-1]))
    return Finding(FAILURE, report.cause or str(error), *_advice(report, str(error)))


def _asked(context: Context) -> Sequence[Attempt]:
    return registry.resolve(context.credential).provider.attempts() if context.credential is not None else ()


def _failed(context: Context, error: AzurePgEntraError, attempts: Sequence[Attempt], took: float) -> Iterator[Finding]:
    report = error.report
    if attempts and attempts[-1].status == "succeeded":
        # The token is not usable.
        yield from map(_passed_over, attempts[:-1])
        yield _succeeded(context, attempts[-1])
        yield _not_usable(report, str(error), attempts[-1].credential)
    elif not attempts:
        yield Finding(FAILURE, report.cause or str(error), *_advice(report, str(error)), seconds=took)
    elif report.code == "credential_unavailable":
        yield from map(_passed_over, attempts)
        yield Finding(FAILURE, "none of these gave a token", *_why_nothing(report, attempts), seconds=took)
    else:
        # A credential that is configured and fails ends the search.
        yield from map(_passed_over, attempts[:-1])
        last = attempts[-1]
        yield Finding(FAILURE, _shown(last), *_explained(last), seconds=last.seconds)


def _passed_over(attempt: Attempt) -> Finding:
    return Finding(PASSED_OVER, _shown(attempt), seconds=attempt.seconds)


def _succeeded(context: Context, attempt: Attempt) -> Finding:
    context.link = attempt.credential
    return Finding(OK, f"{attempt.credential} gave a token", seconds=attempt.seconds)


def _shown(attempt: Attempt) -> str:
    remedy = f"; {attempt.remedy}" if attempt.status == "not_ready" and attempt.remedy else ""
    return f"{attempt.credential}: {attempt.reason}{remedy}"


def _not_usable(report: ErrorReport, text: str, link: str) -> Finding:
    """Explain why a returned token is not accepted: usually it has expired according to this machine's clock."""
    clock = clocks.compared(link)
    if clock is not None and clock.status == WARNING:
        return Finding(FAILURE, report.cause, clock.cause, clock.remedy)
    return Finding(FAILURE, report.cause or text, *_advice(report, text))


def _advice(report: ErrorReport, text: str) -> Advice:
    return Advice(report.cause or text, report.remedy or _SEE_ABOVE)


def _explained(attempt: Attempt) -> Advice:
    cause = f"{attempt.credential} {_VERBS.get(attempt.status, 'failed')}: {attempt.summary}"
    return Advice(cause, attempt.remedy or _SEE_ABOVE)


def _why_nothing(report: ErrorReport, attempts: Sequence[Attempt]) -> Advice:
    """Explain the failure by a credential that is configured but not ready, if there is one."""
    for attempt in attempts:
        if attempt.status != "unavailable":
            return _explained(attempt)
    return Advice("no credential is set up here", report.remedy or _SEE_ABOVE)
