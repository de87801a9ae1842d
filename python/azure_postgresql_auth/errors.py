"""What can go wrong on the way to a login.

    AzurePgEntraError
    +- CredentialValueError         the credential given is not one; a mistake in the program
    +- EntraConnectionValueError    no login could be obtained
    |  +- InsecureTransportError    the token could have been sent unencrypted
    +- TokenDecodeError             the token is not a JWT
    +- UsernameExtractionError      the token names no user
    +- ScopePermissionError         the token names no user, and Azure Resource Manager's could not be obtained

What a driver's `connect` raises besides `CredentialValueError` is an `EntraConnectionValueError` and at the same time
that driver's `OperationalError`, so that pools and retries treat it as the failed connection that it is; the others are
its `__cause__`. `core` raises them as they are, and lets exceptions of credential objects through.

Each has a `report`, which programs can rely on; the text is for people, and its wording may change:

    except EntraConnectionValueError as error:
        if error.report.code == "throttled":
            retry_in(error.report.retry_after or 10)
        for attempt in error.report.attempts:
            log.info("%s: %s", attempt.credential, attempt.status)

An `ErrorReport` has, as attributes:

- `code`: what kind of failure it is, such as "credential_unavailable", "authentication_failed" or "throttled"; the page
  "Errors" of the documentation lists all
- `cause`: what happened, and why
- `remedy`: what to do about it; "" where that is not known
- `service_code`: the identity service's own code, such as "AADSTS7000215", or None
- `retry_after`: seconds for which the identity service asks not to be asked again, or None
- `attempts`: an `Attempt` for each credential that was asked, in order

An `Attempt` has:

- `credential`: its name
- `status`: "unavailable", "not_ready", "misconfigured", "no_answer", "refused", "throttled" or "succeeded"
- `reason`: what happened, with the service's own words; `summary` is its first sentence
- `remedy`, `service_code` and `retry_after`: as those of the report
- `seconds`: how long it took, or None where it was not measured

An error that a program makes itself has a report with no more than a code.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own costs milliseconds of start-up
if TYPE_CHECKING:
    from typing import Any


class _Frozen:
    """Base of records that do not change and are compared by their values.

    Not a dataclass: importing `dataclasses` costs more start-up time than all of this package.
    """

    __slots__: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: object) -> None:
        message = f"{type(self).__name__} is read-only; {name} cannot be set"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> None:
        message = f"{type(self).__name__} is read-only; {name} cannot be deleted"
        raise AttributeError(message)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in zip(self.__slots__, self._values()))
        return f"{type(self).__name__}({', '.join(shown)})"


_set = object.__setattr__


class Attempt(_Frozen):
    """One credential that was asked for a token, and how it answered; see the module's documentation."""

    __slots__ = ("credential", "status", "reason", "summary", "remedy", "service_code", "retry_after", "seconds")  # noqa: RUF023 - as they are given

    credential: str
    status: str
    reason: str
    summary: str
    remedy: str
    service_code: str | None
    retry_after: float | None
    seconds: float | None

    def __init__(  # noqa: PLR0913, PLR0917 - the engine calls it
        self,
        credential: str,
        status: str,
        reason: str = "",
        summary: str = "",
        remedy: str = "",
        service_code: str | None = None,
        retry_after: float | None = None,
        seconds: float | None = None,
    ) -> None:
        _set(self, "credential", credential)
        _set(self, "status", status)
        _set(self, "reason", reason)
        _set(self, "summary", summary or reason)
        _set(self, "remedy", remedy)
        _set(self, "service_code", service_code)
        _set(self, "retry_after", retry_after)
        _set(self, "seconds", seconds)


class ErrorReport(_Frozen):
    """An error as data; see the module's documentation."""

    __slots__ = ("code", "cause", "remedy", "service_code", "retry_after", "attempts")  # noqa: RUF023 - as they are given

    code: str
    cause: str
    remedy: str
    service_code: str | None
    retry_after: float | None
    attempts: tuple[Attempt, ...]

    def __init__(  # noqa: PLR0913, PLR0917 - the engine calls it
        self,
        code: str,
        cause: str = "",
        remedy: str = "",
        service_code: str | None = None,
        retry_after: float | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        _set(self, "code", code)
        _set(self, "cause", cause)
        _set(self, "remedy", remedy)
        _set(self, "service_code", service_code)
        _set(self, "retry_after", retry_after)
        _set(self, "attempts", attempts)


class AzurePgEntraError(Exception):
    """Base of every error of this package."""

    report = ErrorReport("unknown")
    """The error as data; see the module's documentation."""


class TokenDecodeError(AzurePgEntraError):
    """A token is not a JWT whose payload can be read."""

    report = ErrorReport("malformed_token")


class UsernameExtractionError(AzurePgEntraError):
    """No claim of the token names a PostgreSQL role. Pass `user=`."""

    report = ErrorReport("no_user_name")


class CredentialValueError(AzurePgEntraError):
    """The `credential` argument is not a credential object, or does not fit here. Raised before anything is tried."""

    report = ErrorReport("invalid_credential")


class EntraConnectionValueError(AzurePgEntraError):
    """No login could be obtained; the text says what was tried and what to do."""


class InsecureTransportError(EntraConnectionValueError):
    """The settings could have sent the token unencrypted. Raised before one is requested."""

    report = ErrorReport("insecure_transport")


class ScopePermissionError(AzurePgEntraError):
    """The token names no user, and a token for Azure Resource Manager, which might, was refused."""

    report = ErrorReport("management_token")
