"""The administration pages; those of the API's clients, django-oauth-toolkit brings along."""

from __future__ import annotations

from django.contrib import admin

from .models import Order

admin.site.register(Order)
