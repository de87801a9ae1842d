"""What can go wrong on the way to a login.

    AzurePgEntraError
    +- CredentialValueError         the credential given is not one; a mistake in the program
    +- EntraConnectionValueError    no login could be had
    |  +- InsecureTransportError    the token would have travelled in the clear
    +- TokenDecodeError             the token is no JWT
    +- UsernameExtractionError      the token names no user
    +- ScopePermissionError         the token names no user, and Azure Resource Manager's could not be had

What a driver's `connect` raises besides `CredentialValueError` is an `EntraConnectionValueError` and at the same time
that driver's `OperationalError`, so that pools and retries treat it as the failed connection that it is; the others are
its `__cause__`. `core` raises them as they are, and lets exceptions of credential objects through.
"""

from __future__ import annotations


class AzurePgEntraError(Exception):
    """Base of every error of this package."""


class TokenDecodeError(AzurePgEntraError):
    """A token is not a JWT whose payload can be read."""


class UsernameExtractionError(AzurePgEntraError):
    """No claim of the token names a PostgreSQL role. Pass `user=`."""


class CredentialValueError(AzurePgEntraError):
    """The `credential` argument is not a credential object, or does not fit here. Raised before anything is tried."""


class EntraConnectionValueError(AzurePgEntraError):
    """No login could be had; the text says what was tried and what to do."""


class InsecureTransportError(EntraConnectionValueError):
    """The settings would have sent the token in the clear. Raised before one is asked for."""


class ScopePermissionError(AzurePgEntraError):
    """The token names no user, and a token for Azure Resource Manager, which might, was refused."""
