"""Compare this machine's clock with the header `Date` of the service that issued the token."""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import token_info
from azure_postgresql_auth.cli.doctor.finding import OK, WARNING, Finding

if TYPE_CHECKING:
    from typing import Final

LIMIT: Final = 300.0
"""Seconds; the tolerance of Entra ID itself."""
REMEDY: Final = "set this machine's clock, and keep it synchronized (NTP)"
_TIMEOUT: Final = 3.0
_PUBLIC: Final = "https://login.microsoftonline.com"
_IMDS: Final = "http://169.254.169.254"


def compared(link: str) -> Finding | None:
    """Compare this machine's clock with the identity service's; None if the service's time is not known.

    Args:
        link: the credential that gave the token.
    """
    ahead = seconds_ahead(link)
    if ahead is None:
        return None
    if abs(ahead) <= LIMIT:
        return Finding(OK, f"this machine's clock is right by {abs(ahead):.0f} s, compared with the identity service")
    direction = "ahead" if ahead > 0 else "behind"
    off = f"this machine's clock is {token_info.span(abs(ahead))} {direction}"
    return Finding(WARNING, off, f"{off}{' of' if ahead > 0 else ''} the identity service's", REMEDY)


def seconds_ahead(link: str) -> float | None:
    """Return the seconds by which this machine's clock is ahead; None if no service could be reached.

    Args:
        link: the credential that returned the token, which shows which service this machine can reach.
    """
    if link == "ManagedIdentityCredential":
        url = os.environ.get("IDENTITY_ENDPOINT") or os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or _IMDS
        # The documentation of IMDS forbids proxies.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    else:
        url = os.environ.get("AZURE_AUTHORITY_HOST") or _PUBLIC
        url = url if "://" in url else f"https://{url}"
        opener = urllib.request.build_opener()
    asked = time.time()
    date = _date(opener, url)
    if date is None:
        return None
    now = (asked + time.time()) / 2
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None
    # The header has whole seconds, rounded down.
    return now - (theirs + 0.5)


def _date(opener: urllib.request.OpenerDirector, url: str) -> str | None:
    try:
        # Without its header, an identity endpoint returns an error, which has a date, too; no token is sent.
        with opener.open(url, timeout=_TIMEOUT) as response:
            return str(response.headers["Date"])
    except urllib.error.HTTPError as error:
        with error:
            return error.headers["Date"]
    except (OSError, ValueError, http.client.HTTPException):
        return None
