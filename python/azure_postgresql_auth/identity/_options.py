"""Options of azure-identity's constructors that configure requests, not the identity."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth._core import ClientOptions
from azure_postgresql_auth._engine import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

HONOURED: Final = (
    "additionally_allowed_tenants",
    "connection_timeout",
    "connection_verify",
    "proxies",
    "read_timeout",
)
_IN_MEMORY = "tokens are kept in memory; AZURE_POSTGRESQL_AUTH_CACHE_DIR lets processes share them"
_OWN_LOGGING = "the logger azure_postgresql_auth reports what happens, without tokens and requests"
_OWN_RETRIES = "failed requests are retried for as long as the caller waits"
_IGNORED: Final = {
    "cache_persistence_options": _IN_MEMORY,
    "disable_instance_discovery": "the authority is used as given, without instance discovery",
    "enable_support_logging": _OWN_LOGGING,
    "logger": _OWN_LOGGING,
    "logging_body": _OWN_LOGGING,
    "logging_enable": _OWN_LOGGING,
    **dict.fromkeys(
        (
            "retry_backoff_factor",
            "retry_backoff_max",
            "retry_connect",
            "retry_mode",
            "retry_on_status_codes",
            "retry_read",
            "retry_status",
            "retry_total",
            "timeout",
        ),
        _OWN_RETRIES,
    ),
    **dict.fromkeys(
        (
            "auto_request_id",
            "connection_data_block_size",
            "permit_redirects",
            "polling_interval",
            "redirect_max",
            "request_id",
            "tracing_attributes",
            "user_agent",
            "user_agent_overwrite",
            "user_agent_use_env",
        ),
        "it does not affect tokens",
    ),
}
_OWN_CLIENT = "requests are made by an HTTP client of this package's own"
_REFUSED: Final = {
    "connection_cert": _OWN_CLIENT,
    "custom_hook_policy": _OWN_CLIENT,
    "enable_azure_proxy": "AKS identity binding is not supported",
    "headers": _OWN_CLIENT,
    "per_call_policies": _OWN_CLIENT,
    "per_retry_policies": _OWN_CLIENT,
    "policies": _OWN_CLIENT,
    "raw_request_hook": _OWN_CLIENT,
    "raw_response_hook": _OWN_CLIENT,
    "regional_authority": "regional endpoints of Entra ID are not supported",
    "retry_policy_class": _OWN_CLIENT,
    "transport": _OWN_CLIENT,
}


def read_options(kind: str, keywords: Mapping[str, Any], known: Sequence[str] = ()) -> ClientOptions | None:
    """Return the options among a constructor's keywords; None if there are none.

    Args:
        kind: name of the credential's class.
        keywords: the keywords that the constructor does not name.
        known: further keywords that the constructor takes, for error messages.

    Raises:
        TypeError: a keyword is unknown or not supported.
        ValueError: a value is not valid.
    """
    given = {name: value for name, value in keywords.items() if value is not None}
    for name in keywords:
        if name not in HONOURED and name not in _IGNORED and name not in _REFUSED:
            message = f"{kind} has no keyword {name!r}: one of {', '.join((*known, *HONOURED))}"
            raise TypeError(message)
    for name, reason in _REFUSED.items():
        if given.get(name):
            message = (
                f"{kind} does not support {name}: {reason}. Remove it ({', '.join(HONOURED)} are supported), or pass "
                f"the credential of this name from azure.identity, which all functions of this package take"
            )
            raise TypeError(message)
    ignored = [name for name in given if name in _IGNORED]
    if ignored:
        reasons = "; ".join(dict.fromkeys(_IGNORED[name] for name in ignored))
        log.inform(f"{kind} ignores {', '.join(ignored)}: {reasons}")
    settings = {
        **_proxy(given.get("proxies")),
        **_trust(given.get("connection_verify")),
        **_seconds(given, "connection_timeout", "connect_timeout"),
        **_seconds(given, "read_timeout", "read_timeout"),
        **_tenants(given.get("additionally_allowed_tenants")),
    }
    return ClientOptions(**settings) if settings else None


def hold_secret(keywords: Mapping[str, Any]) -> bool:
    """Return whether the options contain a proxy's password."""
    proxies = keywords.get("proxies") or {}
    return any("@" in (url or "") for url in proxies.values())


def _proxy(proxies: Mapping[str, str | None] | None) -> dict[str, Any]:
    """Return the proxy for HTTPS, with the keys in the order in which requests (and azure-identity) read them."""
    for scheme in proxies or ():
        if scheme not in {"http", "https", "all"}:
            message = f"proxies has the key {scheme!r}: one of http, https, all"
            raise ValueError(message)
    for scheme in ("https", "all"):
        if proxies is not None and scheme in proxies:
            return {"proxy": proxies[scheme]} if proxies[scheme] else {"no_proxy": True}
    return {}


def _trust(verify: object) -> dict[str, Any]:
    if verify is None or verify is True:
        return {}
    if isinstance(verify, (str, os.PathLike)):
        return {"ca_bundle": os.fspath(verify)} if verify else {}
    message = (
        "connection_verify=False is not supported: secrets would be sent to any server that answers. Pass the path "
        "of a PEM file with the certification authority that your network uses"
    )
    raise ValueError(message)


def _seconds(given: Mapping[str, Any], name: str, setting: str) -> dict[str, Any]:
    if name not in given:
        return {}
    if not isinstance(given[name], (int, float)) or not given[name] > 0:
        message = f"{name}={given[name]!r}: expected a number of seconds, more than 0"
        raise ValueError(message)
    return {setting: float(given[name])}


def _tenants(tenants: list[str] | str | None) -> dict[str, Any]:
    listed = [tenants] if isinstance(tenants, str) else list(tenants or ())
    return {"additional_tenants": listed} if any(listed) else {}
