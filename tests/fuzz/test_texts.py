"""Texts of servers, services and tokens: no terminal is steered by one, and no secret gets out with one."""

from __future__ import annotations

import contextlib
import io
import json
import re
import traceback
from typing import Any

from azure_postgresql_auth import identity
from azure_postgresql_auth._engine import refusal
from azure_postgresql_auth._redacted import without_frames
from azure_postgresql_auth.cli import dispatch, terminal, token_info
from azure_postgresql_auth.cli.doctor import driver_errors, program_url, server_errors
from azure_postgresql_auth.cli.doctor.finding import Context
from azure_postgresql_auth.cli.logins import PROGRAM
from azure_postgresql_auth.core import decode_jwt
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.credentials import make_token

SECRET = "s3cr3t-of-the-caller"
TOKEN = make_token(upn="ada@contoso.com", marker="x" * 60)
ESCAPES = st.sampled_from(
    ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\r", "\b", "\n", "\u202e", "\u2028", "\0", "\x7f", "\ud800"]
)
TEXT = st.text(max_size=12)
UNICODE = st.characters(exclude_categories=["Cs"])
HOSTILE = st.lists(st.one_of(ESCAPES, TEXT), max_size=6).map("".join)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
CLAIMS = st.sampled_from(
    [
        "aud",
        "exp",
        "nbf",
        "iat",
        "oid",
        "tid",
        "upn",
        "unique_name",
        "xms_mirid",
        "idtyp",
        "appid",
        "idp",
        "scp",
        "appidacr",
    ]
)
STEERS = re.compile(r"[^\n\x20-\x7e\xa1-\U0010ffff]|[\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


@given(HOSTILE)
def test_nothing_steers_a_terminal(text: str) -> None:
    shown = terminal.printable(text)
    assert not STEERS.search(shown)
    assert shown == text or not text.isprintable()


@given(st.dictionaries(st.one_of(CLAIMS, HOSTILE), st.one_of(JSON, HOSTILE), max_size=8))
@example({"exp": 1e300, "iat": -1, "nbf": 253402300800, "aud": [1, None, {"a": []}]})
def test_any_claims_can_be_inspected(claims: dict[str, Any]) -> None:
    claims = json.loads(json.dumps(claims).encode("utf-8", "replace"))
    if any("\ud800" <= letter <= "\udfff" for letter in json.dumps(claims, ensure_ascii=False)):
        return  # no such token can be read
    token = make_token(**{"exp": 4102444800, **claims})
    for options in (["inspect", token], ["inspect", "--json", token]):
        with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as errors:
            assert dispatch.main(options) in {0, 1}
        assert not STEERS.search(output.getvalue() + errors.getvalue())
    assert json.loads(output.getvalue())["claims"] == decode_jwt(token)


def without_quoted(sql: str) -> str:
    """Return statements without their literals, quoted identifiers and comments."""
    return re.sub(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*""", "", sql)


@given(HOSTILE, HOSTILE, st.sampled_from([kind.kind for kind in refusal.REFUSALS]))
@example("x'; DROP ROLE ada; --", 'x"; DROP ROLE ada; --', "wrong_role")
@example('x"; DROP ROLE ada; --', "x'); DROP ROLE ada; --", "wrong_type")
def test_names_cannot_leave_the_sql_they_stand_in(name: str, oid: str, kind: str) -> None:
    found = next(one for one in refusal.REFUSALS if one.kind == kind)

    def sql(name: str, oid: str) -> str:
        claims = {"oid": oid or "1", "upn": "u"}
        info = token_info.read(make_token(oid="1", upn="u"), claims)._replace(user=name or "u")
        plan = PROGRAM.plan({"host": "localhost", "user": "x"})
        url = program_url.read("")
        context = Context(parameters={}, plan=plan, scope="s", endpoints=[], url=url, user=name or "u", info=info)
        return without_quoted(server_errors.explained("refused", found, context).sql)

    assert sql(f"{name}DROP ROLE", f"{oid}DROP ROLE") == sql("ada", "1")


@given(HOSTILE, st.sampled_from([TOKEN, SECRET]), st.one_of(st.none(), st.text(max_size=6)))
def test_a_drivers_error_shows_no_secret(text: str, secret: str, sqlstate: str | None) -> None:
    cause = ValueError(f"{secret}{text}", {"M": secret}, 7)
    error = RuntimeError(f"{text}{secret}{text}")
    error.__cause__ = cause
    error.sqlstate = sqlstate  # type: ignore[attr-defined]
    error.__notes__ = [f"{text}{secret}", 3]  # type: ignore[attr-defined]
    error.args = (*error.args, b"bytes", None)
    refusal.explain(error, text, TOKEN)
    shown = "".join(traceback.format_exception(None, without_frames(error, secret), None))
    assert secret not in shown.replace(str(cause.args[1]), "")
    read = driver_errors.read(error)
    assert "\n" not in read.text


# What is no Unicode is refused by Python itself, before it is read.
@given(st.text(UNICODE, min_size=1, max_size=12), st.text(UNICODE, max_size=12))
def test_no_argument_is_quoted_that_may_be_a_secret(text: str, around: str) -> None:
    """A secret in the place of an id is refused without being shown."""
    secret = f"{SECRET}{text}"
    for make in (
        lambda: identity.ClientSecretCredential(f"{around}{secret}_", "c", "s"),
        lambda: identity.ClientSecretCredential("t", f" {secret}", "s"),
        lambda: identity.ClientSecretCredential("t", "c", f"{secret}\n"),
        lambda: identity.ClientSecretCredential("t", "c", "s", proxies={"https": f"{around}://u:{secret}@p"}),
        lambda: identity.ManagedIdentityCredential(client_id=f'"{secret}"'),
        lambda: identity.CertificateCredential("t", "c", certificate_data=secret.encode("utf-8", "replace")),
        lambda: identity.CertificateCredential("t", "c", certificate_data=b"x", password=secret),
        lambda: identity.AzurePipelinesCredential(
            tenant_id="t", client_id="c", service_connection_id="s", system_access_token=f"{secret} "
        ),
    ):
        try:
            shown = repr(make())
        except ValueError as error:
            shown = f"{error}{error!r}"
        assert SECRET not in shown
