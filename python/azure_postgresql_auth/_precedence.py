"""What a program on libpq prefers to environment variables, and so to the variables that protect its token.

A connection string among the program's arguments takes precedence over variables, and so does a service.
"""

from __future__ import annotations

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    from collections.abc import Collection

    from azure_postgresql_auth._core import ConnectionPlan


def problem(plan: ConnectionPlan, given: Collection[str], *, is_protected: bool) -> str:
    """Return why variables cannot protect the token of a program, and what to do; "" if they can.

    A plan is refused when its `sslmode` permits less. What is left are settings that it cannot read, and GSSAPI
    encryption, which libpq tries before TLS.

    Args:
        plan: the plan of the program's connection.
        given: the keywords in the program's arguments.
        is_protected: whether the variables protect the token by TLS.
    """
    parameters = plan.parameters()
    service = parameters.get("service")
    if plan.has_unresolved_service:
        return (
            f"service={service} could not be read, so it is not known where the token would go; correct the service "
            f"file, or name the server by host"
        )
    gssencmode = parameters.get("gssencmode", "disable")
    if is_protected and gssencmode != "disable" and (service or "gssencmode" in given):
        return (
            f"gssencmode={gssencmode} could send the token under GSSAPI encryption, which does not verify the server; "
            f"remove it, or set gssencmode=disable"
        )
    return ""
