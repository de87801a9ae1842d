"""What a shop has."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Customer(models.Model):
    """A customer."""

    name = models.CharField(max_length=80, unique=True)

    def __str__(self) -> str:
        return str(self.name)


class Order(models.Model):
    """Something bought."""

    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    placed = models.DateTimeField(auto_now_add=True)
    details = models.JSONField(default=dict)
    tags = ArrayField(models.CharField(max_length=20), default=list)

    class Meta:
        """Newest first."""

        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.customer}: {self.price}"
