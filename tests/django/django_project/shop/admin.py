"""The administration pages."""

from __future__ import annotations

from django.contrib import admin

from .models import Customer, Order

admin.site.register([Customer, Order])
