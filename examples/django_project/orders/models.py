"""The app's models."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """An order."""

    item = models.CharField(max_length=80)
    placed = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.item)
