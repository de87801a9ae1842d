"""Tests of the API's clients, from their registration to a refused token."""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.contrib.auth.hashers import identify_hasher
from django.contrib.auth.models import Permission, User
from django.test import TestCase
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, RefreshToken

CALLBACK = "http://localhost/callback"


class ApiClients(TestCase):
    """Clients and their permissions, which are stored in the database."""

    def setUp(self) -> None:
        """Create a user of the API with permission to view orders only."""
        self.user = User.objects.create_user("billing")
        self.user.user_permissions.add(Permission.objects.get(codename="view_order"))

    def register(self, grant_type: str, **more: Any) -> tuple[Application, str]:
        """Register a client, and return it with its secret, which is shown only once."""
        application = Application(
            name="billing",
            user=self.user,
            client_type=Application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=grant_type,
            **more,
        )
        secret = application.client_secret
        application.save()
        return application, secret

    def ask(self, application: Application, secret: str, **request: str) -> Any:
        """Request a token."""
        basic = base64.b64encode(f"{application.client_id}:{secret}".encode()).decode()
        return self.client.post("/o/token/", request, headers={"authorization": f"Basic {basic}"})

    def orders(self, token: str) -> Any:
        """Use a token."""
        return self.client.get("/api/orders/", headers={"authorization": f"Bearer {token}"})

    def test_a_program(self) -> None:
        """Client credentials: the client requests a new token when its token has expired."""
        application, secret = self.register(Application.GRANT_CLIENT_CREDENTIALS)
        application.refresh_from_db()
        assert identify_hasher(application.client_secret)
        assert self.ask(application, "wrong", grant_type="client_credentials").status_code == 401

        answer = self.ask(application, secret, grant_type="client_credentials").json()
        assert (answer["expires_in"], answer["scope"]) == (300, "orders.view_order")
        token = answer["access_token"]
        assert self.orders(token).json() == {"orders": []}
        # A client cannot get a token for a permission that it does not have.
        denied = self.client.post("/api/orders/", {"item": "tea"}, headers={"authorization": f"Bearer {token}"})
        assert denied.status_code == 403
        more = self.ask(application, secret, grant_type="client_credentials", scope="orders.add_order")
        assert more.json()["error"] == "invalid_scope"

        AccessToken.objects.update(expires=timezone.now() - timedelta(seconds=1))
        assert self.orders(token).status_code == 403

    def test_a_program_on_behalf_of_a_person(self) -> None:
        """Authorization code with PKCE, and refresh tokens that can be used once."""
        application, secret = self.register(Application.GRANT_AUTHORIZATION_CODE, redirect_uris=CALLBACK)
        self.client.force_login(self.user)
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        consent = {
            "allow": "yes",
            "client_id": application.client_id,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "orders.view_order",
        }
        redirected = self.client.post("/o/authorize/", consent)
        (code,) = parse_qs(urlsplit(redirected["Location"]).query)["code"]
        self.client.logout()

        exchange = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": CALLBACK,
        }
        first = self.ask(application, secret, **exchange).json()
        assert self.orders(first["access_token"]).status_code == 200
        assert RefreshToken.objects.get().user == self.user

        again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        second = self.ask(application, secret, **again).json()
        assert self.orders(second["access_token"]).status_code == 200
        assert self.orders(first["access_token"]).status_code == 403
        assert self.ask(application, secret, **again).json()["error"] == "invalid_grant"
