"""The administration pages. Those of the API's clients come from django-oauth-toolkit."""

from __future__ import annotations

from django.contrib import admin

from .models import Order

admin.site.register(Order)
