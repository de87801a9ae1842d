"""Interpret a token's claims with regard to logins."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from azure_postgresql_auth._core import guest_of, principal_of, scope_for

if TYPE_CHECKING:
    from typing import Final

_CLOUDS: Final = {
    "public": "postgres.database.azure.com",
    "US Government": "postgres.database.usgovcloudapi.net",
    "China": "postgres.database.chinacloudapi.cn",
}
_OPAQUE: Final = ("aio", "nbf", "puid", "rh", "uti", "wids", "xms_ftd", "xms_idrel")
"""Claims that are opaque or redundant to a person."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_LAST_MOMENT: Final = 253_402_300_799
"""The end of the year 9999, the last date that Python's calendar supports."""


class TokenInfo(NamedTuple):
    """The contents of a token."""

    claims: dict[str, Any]
    length: int
    user: str | None
    rule: str
    """The claim that names the user."""
    guest: tuple[str, str] | None
    """For a guest, whose token does not name the role: the home account, and the format of the role's name."""
    kind: str
    audience: str
    cloud: str | None
    """The Azure cloud whose databases accept the token; None if none does."""
    expires: float | None
    begins: float | None
    now: float

    @property
    def who(self) -> str:
        """The principal: its name if known, its kind and its object id."""
        name = self.user or (self.guest[0] if self.guest else "")
        oid = self.claims.get("oid")
        return f"{f'{name}, ' if name else ''}{self.kind}{f' (object id {oid})' if oid else ''}"

    @property
    def audience_problem(self) -> str:
        """Why no database accepts the token; "" if one does."""
        if self.cloud is not None:
            return ""
        right = scope_for(()).removesuffix("/.default")
        audience = self.audience or "nobody in particular"
        return f"the token is for {audience}, not for Azure Database for PostgreSQL ({right})"

    @property
    def life_problem(self) -> str:
        """Why the token is not valid now; "" if it is."""
        for claim in ("exp", "nbf"):
            if claim in self.claims and _date(self.claims[claim]) is None:
                return f"the token's {claim}, {self.claims[claim]}, is not a date"
        if self.expires is not None and self.expires <= self.now:
            return f"the token expired {span(self.now - self.expires)} ago"
        if self.begins is not None and self.begins > self.now:
            return (
                f"the token is not valid for another {span(self.begins - self.now)}, or this machine's clock is behind"
            )
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Return the contents for JSON."""
        return {
            "user": self.user,
            "user_from": self.rule or None,
            "kind": self.kind,
            "tenant": self.claims.get("tid"),
            "object_id": self.claims.get("oid"),
            "application_id": self.claims.get("appid", self.claims.get("azp")),
            "audience": self.audience,
            "cloud": self.cloud,
            "expires_on": self.expires,
            "expires_in": None if self.expires is None else round(self.expires - self.now),
            "length": self.length,
        }

    def lines(self) -> list[tuple[str, str]]:
        """Return the contents as labels and texts."""
        values = self.as_dict()
        audience = self.audience or "none"
        if self.cloud:
            audience += f" (Azure Database for PostgreSQL, {self.cloud} cloud)"
        rows = [
            ("user name", self._user_name()),
            ("who", self.kind),
            ("tenant", values["tenant"]),
            ("object id", values["object_id"]),
            ("application", values["application_id"]),
            ("audience", audience),
            ("issued", self._moment("iat")),
            ("expires", self._moment("exp")),
            ("length", f"{self.length:,} characters"),
        ]
        shown = {"tid", "oid", "appid", "azp", "aud", "iat", "exp", self.rule, *_OPAQUE}
        others = {name: value for name, value in self.claims.items() if name not in shown}
        return [(name, str(value)) for name, value in rows if value] + [
            (name, _short(value)) for name, value in sorted(others.items())
        ]

    def _user_name(self) -> str:
        if self.user:
            return f"{self.user}, by {self.rule}"
        if self.guest:
            account, role = self.guest
            return f"none: {account} is a guest's home account; give the user, whose name has the form {role}"
        return "none: no claim names one, so give the user"

    def _moment(self, claim: str) -> str:
        moment = _date(self.claims.get(claim))
        if moment is None:
            return f"{self.claims[claim]}, not a date" if claim in self.claims else ""
        away = span(abs(moment - self.now))
        return f"{local(moment)} ({away} ago)" if moment <= self.now else f"{local(moment)} (in {away})"


def read(token: str, claims: dict[str, Any], now: float | None = None) -> TokenInfo:
    """Return the contents of a token; `claims` are its decoded claims."""
    principal = principal_of(token)
    guest = guest_of(token)
    audience = claims.get("aud")
    audiences = [str(one) for one in (audience if isinstance(audience, list) else [audience]) if one]
    return TokenInfo(
        claims=claims,
        length=len(token),
        user=principal[1] if principal else None,
        rule=principal[0] if principal else "",
        guest=guest,
        kind="a guest user" if guest else _kind(claims),
        audience=", ".join(audiences),
        cloud=next((cloud for one in audiences if (cloud := _cloud_of(one))), None),
        expires=_date(claims.get("exp")),
        begins=_date(claims.get("nbf")),
        now=time.time() if now is None else now,
    )


def _cloud_of(audience: str) -> str | None:
    for cloud, suffix in _CLOUDS.items():
        if audience.rstrip("/") == scope_for((f"server.{suffix}",)).removesuffix("/.default"):
            return cloud
    return None


def _kind(claims: dict[str, Any]) -> str:
    """Return the kind of the principal, as far as the claims show it."""
    resource = str(claims.get("xms_mirid") or "")
    if "microsoft.managedidentity/userassignedidentities" in resource.lower():
        return "a user-assigned managed identity"
    if resource:
        return f"the system-assigned identity of {'/'.join(resource.split('/')[-3:])}"
    if is_application(claims):
        return (
            "a managed identity" if str(claims.get("appidacr")) == "2" and "xms_idrel" in claims else "an application"
        )
    name = str(claims.get("upn") or claims.get("preferred_username") or claims.get("unique_name") or "")
    return "a guest user" if "#EXT#" in name else "a user"


def is_application(claims: dict[str, Any]) -> bool:
    """Return whether the token is an application's or a managed identity's, not a user's."""
    return claims.get("idtyp") == "app" or not ({"upn", "preferred_username", "unique_name", "scp"} & set(claims))


def span(seconds: float) -> str:
    """Return a duration in a readable form: "5 min", "2 h 3 min"."""
    seconds = round(seconds)
    if seconds < 2 * _MINUTE:
        return f"{seconds} s"
    if seconds < 2 * _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    return f"{seconds // _DAY} days"


def local(moment: float) -> str:
    """Return a time (seconds since 1970) in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(moment)).strip()


def _date(value: Any) -> float | None:
    is_date = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LAST_MOMENT
    return float(value) if is_date else None


def _short(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
