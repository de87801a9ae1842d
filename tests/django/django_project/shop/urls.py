"""Addresses."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders/", views.orders),
    path("orders/async/", views.orders_async),
]
