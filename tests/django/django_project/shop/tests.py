"""The project's own tests, for `manage.py test`: they make a database of their own and drop it."""

from __future__ import annotations

import os
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, connections, transaction
from django.test import Client, TestCase, TransactionTestCase

from .models import Customer, Order
from .views import who

USER = os.environ["EXPECTED_USER"]


def sell(*prices: str) -> Customer:
    """Create a customer with orders of these prices."""
    customer: Customer = Customer.objects.create(name="Ada")
    for price in prices:
        Order.objects.create(customer=customer, price=Decimal(price), details={"price": price}, tags=["new"])
    return customer


class Models(TestCase):
    """The ORM."""

    def test_what_is_saved_is_found(self) -> None:
        """Types that backends convert."""
        customer = sell("1.50", "2.25")
        order = customer.orders.get(details__price="2.25", tags__contains=["new"])
        assert order.price == Decimal("2.25")
        assert order.placed.tzinfo is not None
        assert who() == USER

    def test_a_transaction_is_undone(self) -> None:
        """Savepoints, and an error of the server's as Django's."""
        sell()
        with self.assertRaises(IntegrityError), transaction.atomic():  # noqa: PT027
            sell()
        assert Customer.objects.count() == 1

    def test_a_server_side_cursor(self) -> None:
        """As `iterator` has it."""
        sell(*(["3.00"] * 50))
        assert sum(order.price for order in Order.objects.iterator(chunk_size=7)) == 150


class Pages(TestCase):
    """Requests."""

    def test_the_admin_logs_in(self) -> None:
        """By its own page, with a session in the database."""
        User.objects.create_superuser("root", password="secret")
        client = Client()
        page = client.post("/admin/login/?next=/admin/", {"username": "root", "password": "secret"}, follow=True)
        assert b"Site administration" in page.content
        added = client.post("/admin/shop/customer/add/", {"name": "Grace"}, follow=True)
        assert b"was added successfully" in added.content
        assert Customer.objects.get().name == "Grace"

    def test_a_page(self) -> None:
        """A synchronous view."""
        sell("1.00")
        assert self.client.get("/orders/").json() == {"orders": 1, "user": USER}

    async def test_an_asynchronous_page(self) -> None:
        """An asynchronous view, through the asynchronous handler."""
        await Customer.objects.acreate(name="Ada")
        page = await self.async_client.get("/orders/async/")
        assert page.json() == {"orders": 0, "user": USER}


class Connections(TransactionTestCase):
    """Connections that come and go."""

    def test_a_new_one_each_time(self) -> None:
        """Closed after a request, opened at the next."""
        sell("1.00")
        for _ in range(3):
            connections.close_all()
            assert self.client.get("/orders/").json() == {"orders": 1, "user": USER}
        assert connection.vendor == "postgresql"
