"""Mistakes in a Django project's settings are named, at a connection and by the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth.identity import ManagedIdentityCredential
from django.core.exceptions import ImproperlyConfigured

from tests.support.credentials import AsyncCredential
from tests.support.django_logins import SECRET, report

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.django import Databases


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "missing": (
        {"TENANT_ID": "t", "CLIENT_ID": "c"},
        r"\['default'\] lacks CLIENT_SECRET \(not there, or empty\); .* needs TENANT_ID, CLIENT_ID, CLIENT_SECRET$",
    ),
    "empty": (
        {"TENANT_ID": None, "CLIENT_ID": "", "CLIENT_SECRET": None},
        r"lacks TENANT_ID, CLIENT_ID, CLIENT_SECRET",
    ),
    "misspelt": (
        {"TENANT_ID": "t", "CLIENT_ID": "c", "CLIENT_SECRT": SECRET},
        r"lacks CLIENT_SECRET .* It has 'CLIENT_SECRT': did you mean CLIENT_SECRET\?",
    ),
    "all misspelt": (
        {"TENANTID": "t", "CLIENTID": "c", "CLIENTSECRET": SECRET, "PASSWORD": ""},
        r"'TENANTID': did you mean TENANT_ID\?.*'CLIENTSECRET': did you mean CLIENT_SECRET\?",
    ),
    "no string": (
        {"TENANT_ID": "t", "CLIENT_ID": 5, "CLIENT_SECRET": SECRET},
        r"\['CLIENT_ID'\] is int; it is a string",
    ),
    "aad missing": (
        {"AAD_OPTIONS": {"SP_TENANT_ID": "t", "SP_CLIENT_SECRET": SECRET}},
        r"DATABASES\['default'\]\['AAD_OPTIONS'\] lacks SP_CLIENT_ID",
    ),
    "aad unknown": (
        {"AAD_OPTIONS": {"SP_TENANT_ID": "t", "SP_CLIENT_ID": "c", "SP_CLIENT_SECRET": SECRET, "SCOPE": "s"}},
        r"\['AAD_OPTIONS'\] has 'SCOPE'; it knows SP_TENANT_ID, SP_CLIENT_ID, SP_CLIENT_SECRET",
    ),
    "aad misspelt": (
        {"AAD_OPTIONS": {"SP_TENANT_ID": "t", "CLIENT_ID": "c", "SP_CLIENT_SECRET": SECRET}},
        r"\['AAD_OPTIONS'\] lacks SP_CLIENT_ID .* It has 'CLIENT_ID': did you mean SP_CLIENT_ID\?",
    ),
    "aad no dictionary": ({"AAD_OPTIONS": SECRET}, r"\['AAD_OPTIONS'\] has to be a dictionary with SP_TENANT_ID"),
    "aad by another name": (
        {"AAD_OPTION": {"SP_CLIENT_SECRET": SECRET}},
        r"has 'AAD_OPTION'; did you mean AAD_OPTIONS\?",
    ),
    "twice": (
        {
            "TENANT_ID": "t",
            "CLIENT_ID": "c",
            "CLIENT_SECRET": SECRET,
            "AAD_OPTIONS": {"SP_TENANT_ID": "t", "SP_CLIENT_ID": "c", "SP_CLIENT_SECRET": SECRET},
        },
        r"names the identity twice, by TENANT_ID, CLIENT_ID and CLIENT_SECRET and by AAD_OPTIONS; remove one",
    ),
    "and a credential": (
        {
            "TENANT_ID": "t",
            "CLIENT_ID": "c",
            "CLIENT_SECRET": SECRET,
            "OPTIONS": {"credential": ManagedIdentityCredential},
        },
        r"names the identity twice, by OPTIONS\['credential'\] and by TENANT_ID",
    ),
    "and a password": (
        {"AAD_OPTIONS": {"SP_TENANT_ID": "t", "SP_CLIENT_ID": "c", "SP_CLIENT_SECRET": SECRET}, "PASSWORD": SECRET},
        r"has a PASSWORD and AAD_OPTIONS; remove the PASSWORD to log in with Microsoft Entra ID",
    ),
    "a password alone": ({"PASSWORD": SECRET}, r"has a PASSWORD and no USER"),
    "credentials": ({"OPTIONS": {"credentials": ManagedIdentityCredential()}}, "it is called 'credential'"),
    "upper case": ({"OPTIONS": {"SCOPE": "s"}}, r"\['OPTIONS'\] has 'SCOPE'; it is called 'scope' here"),
    "no such module": (
        {"OPTIONS": {"credential": "no_such.thing"}},
        r"is 'no_such.thing', which cannot be imported, ModuleNotFoundError: No mod",
    ),
    "no such name": (
        {"OPTIONS": {"credential": "tests.django.credentials.thing"}},
        r"is 'tests.django.credentials.thing', which cannot be imported, ImportError: .* does not define",
    ),
    "a module that fails": (
        {"OPTIONS": {"credential": "tests.django.broken.credential"}},
        r"is 'tests.django.broken.credential', which cannot be imported, KeyError: 'VAULT'$",
    ),
    "credential beside": (
        {"credential": ManagedIdentityCredential()},
        r"\['default'\] has 'credential', which is not a setting of a database; did you mean OPTIONS\['credential'\]\?",
    ),
    "in capitals": (
        {"CREDENTIAL": "tests.django.credentials.make"},
        r"'CREDENTIAL', .* mean OPTIONS\['credential'\]\?",
    ),
    "longer": ({"AZURE_CREDENTIAL": "x"}, r"'AZURE_CREDENTIAL', .* mean OPTIONS\['credential'\]\?"),
    "scope beside": ({"SCOPE": "s"}, r"has 'SCOPE', .* did you mean OPTIONS\['scope'\]\?"),
    "option": ({"OPTION": {"credential": "x"}}, r"has 'OPTION', .* did you mean OPTIONS\?"),
    "unknown": (
        {"IDENTITY": "x"},
        r"has 'IDENTITY', which is not a setting of a database; known are AAD_OPTIONS, ATOMIC_",
    ),
    "unknown with a password": ({"IDENTITY": "x", "USER": "me", "PASSWORD": SECRET}, "has 'IDENTITY'"),
    "beside settings of a derived backend": (
        {"ENGINE": "tests.django.derived", "SCOPE": "s"},
        r"has 'SCOPE', .* did you mean OPTIONS\['scope'\]\?",
    ),
    "no flag": (
        {"OPTIONS": {"allow_insecure_transport": "maybe"}},
        r"\['OPTIONS'\]\['allow_insecure_transport'\] is 'maybe'; expected True or False",
    ),
    "no credential": (
        {"OPTIONS": {"credential": "tests.django.credentials.nothing"}},
        r"\['credential'\]: credential is required to have a get_token method",
    ),
    "asynchronous": ({"OPTIONS": {"credential": AsyncCredential("t")}}, r"credential is required to be synchronous"),
    "no name": ({"NAME": "", "TENANT_ID": "t"}, "Please supply the NAME"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
class TestMistakes:
    def test_mistakes_raise_errors_that_name_them(self, mistake: str, database: Databases, emulator: Emulator) -> None:
        entry, text = MISTAKES[mistake]
        connection = database(**entry)
        with pytest.raises(ImproperlyConfigured, match=text) as caught:
            connection.ensure_connection()
        assert SECRET not in "".join(report(caught.value))
        assert emulator.token_requests == []
        assert emulator.logins == []

    def test_checks_find_mistakes(self, mistake: str, database: Databases) -> None:
        entry, _ = MISTAKES[mistake]
        (message,) = database(**entry).validation.check()
        assert message.id == "azure_postgresql_auth.E001"
        assert "\n" not in message.msg.replace("improperly configured. ", "")
