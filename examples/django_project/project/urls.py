"""The project's URLs."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from orders.views import Orders

urlpatterns = [
    path("admin/", admin.site.urls),
    # o/token/ issues tokens, o/authorize/ asks a user for consent, o/applications/ registers clients.
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("api/orders/", Orders.as_view()),
]
