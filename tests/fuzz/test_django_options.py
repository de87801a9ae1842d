"""Whatever stands in `DATABASES`: it is taken, or refused by Django's own error, and no secret is shown."""

from __future__ import annotations

import copy
from typing import Any

from azure_postgresql_auth.django._redacted_settings import redact
from azure_postgresql_auth.django._settings import login_settings, set_flag
from django.core.exceptions import ImproperlyConfigured
from hypothesis import example, given
from hypothesis import strategies as st

SECRET = "s3cr3t-of-the-caller"
DEFAULTS = {
    "ENGINE": "azure_postgresql_auth.django",
    "NAME": "db",
    "USER": "",
    "PASSWORD": "",
    "HOST": "db.example.com",
    "PORT": "",
    "OPTIONS": {},
}
KEYS = st.sampled_from(
    [
        "TENANT_ID",
        "CLIENT_ID",
        "CLIENT_SECRET",
        "CLIENTSECRET",
        "client_secret",
        "`CLIENT_ID`",
        "AAD_OPTIONS",
        "AAD_OPTION",
        "SP_TENANT_ID",
        "SP_CLIENT_ID",
        "SP_CLIENT_SECRET",
        "REFRESH_BEFORE_MINUTES",
        "CREDENTIAL",
        "PASSWORD",
        "USER",
    ]
)
TEXT = st.text(max_size=8)
VALUES = st.one_of(
    st.just(SECRET), st.just("11111111-2222-3333-4444-555555555555"), TEXT, st.none(), st.integers(), st.booleans()
)
OPTIONS = st.dictionaries(
    st.one_of(
        st.sampled_from(["credential", "Credential", "credentials", "scope", "allow_insecure_transport", "pool"]), TEXT
    ),
    st.one_of(
        TEXT, st.none(), st.booleans(), st.sampled_from(["os.getcwd", "json.loads", "no.such.module", "true", "FALSE"])
    ),
    max_size=3,
)


@given(
    st.dictionaries(st.one_of(KEYS, TEXT), st.one_of(VALUES, st.dictionaries(KEYS, VALUES, max_size=4)), max_size=5),
    OPTIONS,
)
@example({"TENANT_ID": "t", "CLIENT_ID": "c", "CLIENT_SECRET": SECRET}, {})
@example({"TENANT_ID": "t", "CLIENT_ID": "c", "CLIENT_SECRET": f" {SECRET}"}, {})
@example({"AAD_OPTIONS": {"SP_TENANT_ID": "t", "SP_CLIENT_ID": "c", "SP_CLIENT_SECRE": SECRET}}, {})
def test_any_settings_are_taken_or_refused(entry: dict[str, Any], options: dict[str, Any]) -> None:
    settings = {**copy.deepcopy(DEFAULTS), **entry, "OPTIONS": options}
    # The value in the place of an id may be shown; the secrets are elsewhere.
    may_be_shown = any(value == SECRET and "SECRET" not in str(key).upper() for key, value in _pairs(settings))
    try:
        login_settings(settings, "default")
    except ImproperlyConfigured as error:
        assert may_be_shown or SECRET not in f"{error}{error.__cause__}"
    redact(settings)
    assert may_be_shown or SECRET not in repr(settings)


def _pairs(settings: dict[str, Any]) -> list[tuple[str, Any]]:
    inner = [pair for value in settings.values() if isinstance(value, dict) for pair in value.items()]
    return [*settings.items(), *inner]


@given(st.one_of(TEXT, st.none(), st.integers(), st.booleans(), st.sampled_from(["true", "False", "TRUE", "1"])))
def test_a_flag_is_true_or_false_or_refused(flag: Any) -> None:
    params = {"allow_insecure_transport": flag}
    try:
        set_flag(params, "default")
    except ImproperlyConfigured:
        return
    assert isinstance(params["allow_insecure_transport"], bool)
    assert params["allow_insecure_transport"] is (str(flag).lower() == "true")
