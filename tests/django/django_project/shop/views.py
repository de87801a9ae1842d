"""Views of the orders, with the database user of each request."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import JsonResponse

from .models import Order


def who() -> str:
    """Return the database user of this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user")
        return str(cursor.fetchone()[0])


def orders(_request: Any) -> JsonResponse:
    """Return the orders, from a synchronous view."""
    return JsonResponse({"orders": Order.objects.count(), "user": who()})


async def orders_async(_request: Any) -> JsonResponse:
    """Asynchronous."""
    count = 0
    async for _ in Order.objects.all():
        count += 1
    assert count == await Order.objects.acount()
    return JsonResponse({"orders": count, "user": await sync_to_async(who)()})
