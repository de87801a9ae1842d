"""Check the proxy of the environment, for requests to Microsoft Entra ID.

The HTTP client says nothing of a variable that it cannot use, and connects directly.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.doctor.finding import WARNING, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

# In the order in which the client reads them; of the first pair that is set, it reads the first variable.
_VARIABLES: Final = (("HTTPS_PROXY", "https_proxy"), ("ALL_PROXY", "all_proxy"))
# The characters of an authority in a URL (RFC 3986, 3.2).
_PLACE: Final = r"[\w!$&'()*+,;=:@\[\].~%-]+"
_URL: Final = re.compile(rf"https?://{_PLACE}(?:[/?#].*)?|{_PLACE}", re.ASCII | re.IGNORECASE)


def check() -> Iterator[Finding]:
    """Report a variable that is set and cannot be used. Its value is not shown, because it may hold a password."""
    for names in _VARIABLES:
        name = next(filter(os.environ.__contains__, names), "")
        value = os.environ.get(name, "")
        if value and not _URL.fullmatch(value):
            cause = f"{name} is not the URL of an HTTP proxy, so requests to Microsoft Entra ID do not go through it"
            yield Finding(WARNING, cause, cause, f"set {name} to http://HOST:PORT, without quotation marks or spaces")
        elif value:
            return
