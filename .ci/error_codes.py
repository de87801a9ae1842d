"""The documentation's page of the codes that errors carry, made from the engine's own tables."""

from __future__ import annotations

import tables

TITLE = """\
# Error codes

What programs can rely on in an error's `report`; see [Errors](errors.md) and `azure_postgresql_auth.errors`.
"""


def page() -> str:
    """Return the page as Markdown."""
    from azure_postgresql_auth import _core  # noqa: PLC0415 - as the other generated pages

    codes = [(f"`{code}`", f"`{kind}`", meaning, remedy) for code, kind, meaning, remedy in _core.error_codes()]
    statuses = [(f"`{status}`", meaning) for status, meaning in _core.attempt_statuses()]
    entra = [
        (f"`AADSTS{code}`", f"{meaning}.", f"{_sentence(remedy)}.") for code, meaning, remedy in _core.entra_errors()
    ]
    return "\n".join(
        [
            TITLE,
            "## `report.code`\n",
            tables.markdown(("code", "exception", "meaning", "what to do"), codes),
            "## `attempt.status`\n",
            tables.markdown(("status", "meaning"), statuses),
            "## `service_code`\n",
            "The refusals of Microsoft Entra ID for which `remedy` says more than its own words.\n",
            tables.markdown(("code", "meaning", "what to do"), entra),
        ]
    )


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:]
