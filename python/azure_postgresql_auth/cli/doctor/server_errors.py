"""Explain each kind of refusal (see `refusal`) for this login, with the SQL that corrects the role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.doctor import clocks
from azure_postgresql_auth.cli.doctor.finding import Advice
from azure_postgresql_auth.cli.token_info import is_application

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from azure_postgresql_auth._engine.refusal import Refusal
    from azure_postgresql_auth.cli.doctor.finding import Context

_ADMINISTRATOR = "-- as an Entra administrator of the server, in the database postgres\n"
_LIST = "SELECT * FROM pgaadauth_list_principals(false);"


def explained(text: str, refusal: Refusal | None, context: Context) -> Advice:
    """Return cause and remedy of a refusal.

    Args:
        text: the server's message.
        refusal: the kind of refusal; None if it is not known.
        context: results of the earlier steps.
    """
    if refusal is not None:
        return _EXPLAIN[refusal.kind](text, context)
    return Advice(f"the server refuses the login: {text}", "see the server's log, at the time of this attempt")


def is_about_dates(refusal: Refusal | None) -> bool:
    """Return whether the server may have refused the token because of its dates."""
    return refusal is not None and refusal.kind in {"expired_token", "token_not_accepted"}


def _no_role(_: str, context: Context) -> Advice:
    if context.suspicion is not None:
        return context.suspicion
    oid, kind = _principal(context)
    if not oid:
        return Advice(
            f'the server does not accept this password for "{context.user}"',
            "omit the password, so that a token is used; or correct it",
        )
    assert context.info is not None, "they have the object id"  # noqa: S101 - for the type checker
    named, asked = context.info.user, context.plan.user
    whose = f"this identity (object id {oid})" if named == context.user else context.info.who
    remedies = []
    if asked and named and named != asked:
        remedies.append(f'omit user= (and PGUSER) to log in as "{named}"')
    elif asked and "identity" in context.info.kind and not named:
        remedies.append("omit user= (and PGUSER) to log in as the identity itself")
    if asked and named != asked:
        remedies.append(f'if "{asked}" is a group, make the identity a member of it')
    remedies.append("create or correct the role with the SQL below")
    cause = f'the server has no role "{context.user}" for {whose}'
    arguments = f"{_literal(context.user)}, {_literal(oid)}, '{kind}', false, false"
    sql = (
        f"{_ADMINISTRATOR}{_LIST}\n-- if the role is missing\n"
        f"SELECT * FROM pgaadauth_create_principal_with_oid({arguments});\n"
        "-- if it has another object id, such as that of an identity of the same name that was deleted\n"
        f"{_label(context, kind)}"
    )
    return Advice(cause, "; or ".join(remedies), sql)


def _wrong_type(_: str, context: Context) -> Advice:
    _, kind = _principal(context)
    other = "a user's or a group's" if kind == "service" else "a service's"
    whose = "an application's (a service principal's or a managed identity's)" if kind == "service" else "a user's"
    return Advice(
        f'the role "{context.user}" was created as {other}, and the token is {whose}',
        "give the role the token's type with the SQL below, or use a credential of the role's type",
        f"{_ADMINISTRATOR}{_LIST}\n{_label(context, kind)}",
    )


def _label(context: Context, kind: str) -> str:
    label = _literal(f"aadauth,oid={_principal(context)[0]},type={kind}")
    return f'SECURITY LABEL FOR "pgaadauth" ON ROLE {_identifier(context.user)} IS {label};'


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _principal(context: Context) -> tuple[str, str]:
    """Return object id and type, in the terms of the server's functions."""
    claims = context.info.claims if context.info else {}
    return str(claims.get("oid") or ""), "service" if is_application(claims) else "user"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _expired(_: str, context: Context) -> Advice:
    if context.expired is not None:
        return context.expired
    return Advice("the token has expired by the server's clock", clocks.REMEDY)


def _audience(_: str, context: Context) -> Advice:
    audience = context.info.audience if context.info else ""
    return Advice(
        f"the server does not accept tokens for {audience}",
        f"request one with the scope {context.scope}",
    )


def _not_validated(_: str, context: Context) -> Advice:
    if context.expired is not None:
        return context.expired
    tenant = context.info.claims.get("tid") if context.info else None
    return Advice(
        f"the server does not accept the token: it was revoked, or its tenant {tenant} is not the server's",
        "sign in again, in the server's tenant, which its Authentication page shows",
    )


def _format(_: str, context: Context) -> Advice:
    return Advice(
        f'the server takes "{context.user}" for an Entra role, and the password is not a token',
        "omit the password, so that a token is used",
    )


def _no_oid(*_: object) -> Advice:
    return Advice(
        "the token has no object id (oid)",
        "check the credential: this is not a token that Entra ID issued for a principal",
    )


def _no_database(_: str, context: Context) -> Advice:
    name = context.parameters.get("dbname") or context.user
    return Advice(
        f'the identity is accepted, but there is no database "{name}"',
        "name one that exists: dbname=postgres always does",
    )


def _connect_right(_: str, context: Context) -> Advice:
    name = context.parameters.get("dbname") or context.user
    return Advice(
        f'the identity is accepted, but "{context.user}" may not connect to the database "{name}"',
        f"GRANT CONNECT ON DATABASE {_identifier(name)} TO {_identifier(context.user)};",
    )


def _no_login(_: str, context: Context) -> Advice:
    return Advice(f'the role "{context.user}" may not log in', f"ALTER ROLE {_identifier(context.user)} LOGIN;")


def _no_encryption(*_: object) -> Advice:
    return Advice(
        "the server requires TLS, and the connection did not use it", "use sslmode=require or stronger, or omit sslmode"
    )


def _hba(_: str, context: Context) -> Advice:
    return Advice(
        f"the server's access rules do not admit {context.user} from here",
        "allow this machine's address in the server's firewall rules (Networking)",
    )


def _parameter(text: str, _: Context) -> Advice:
    return Advice(
        f"the identity is accepted, but the server refuses a setting of the connection: {text}",
        "correct or remove it: in options (PGOPTIONS), or among the connection's parameters",
    )


def _full(*_: object) -> Advice:
    return Advice(
        "the identity is accepted, but all of the server's connections are in use",
        "close some, use a pool, or raise max_connections",
    )


def _not_ready(*_: object) -> Advice:
    return Advice("the server is starting, stopping or recovering", "wait, and check its state in the portal")


_EXPLAIN: Final[dict[str, Callable[[str, Context], Advice]]] = {
    "wrong_type": _wrong_type,
    "wrong_role": _no_role,
    "expired_token": _expired,
    "wrong_audience": _audience,
    "not_a_token": _format,
    "no_object_id": _no_oid,
    "token_not_accepted": _not_validated,
    "no_encryption": _no_encryption,
    "no_access_rule": _hba,
    "no_database": _no_database,
    "no_connect_right": _connect_right,
    "no_login_right": _no_login,
    "wrong_parameter": _parameter,
    "no_free_connection": _full,
    "not_ready": _not_ready,
}
"""By kind of refusal."""
