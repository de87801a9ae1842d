"""The API's views."""

from __future__ import annotations

from typing import Any

from django.http import JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.decorators import protected_resource

from .models import Order


@method_decorator(csrf_exempt, name="dispatch")
class Orders(View):
    """Orders, for clients with a token of the required scope."""

    @method_decorator(protected_resource(scopes=["orders.view_order"]))
    def get(self, _request: Any) -> JsonResponse:
        """Return all orders."""
        return JsonResponse({"orders": list(Order.objects.values("id", "item"))})

    @method_decorator(protected_resource(scopes=["orders.add_order"]))
    def post(self, request: Any) -> JsonResponse:
        """Place an order."""
        order = Order.objects.create(item=request.POST["item"])
        return JsonResponse({"id": order.pk, "item": order.item}, status=201)
