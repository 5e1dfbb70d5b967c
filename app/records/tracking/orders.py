"""Segment's orders as transactions."""

from collections.abc import Mapping
from typing import Any

from app.records.tracking.values import Unusable, exact_amount, exact_price, needed, word

# The first one given counts. Segment's total is what the customer pays; revenue leaves out shipping and tax.
PURCHASE_AMOUNTS = ("total", "revenue", "value")
REFUND_AMOUNTS = ("total", "value")

Places = dict[str, str]


def purchase(properties: Mapping[str, Any], *, currency: str) -> tuple[dict[str, Any], Places]:
    """The fields of a purchase, and where each stood in the message."""
    amount, places = _amount(properties, PURCHASE_AMOUNTS, currency=currency)
    order_id = needed(properties.get("order_id"), "properties/order_id")
    return {**amount, **_items(properties, places), "transaction_id": order_id, "kind": "purchase"}, places


def refund(properties: Mapping[str, Any], *, currency: str) -> tuple[dict[str, Any], Places]:
    """The fields of a refund, and where each stood in the message. Several of one order need a refund_id each."""
    amount, places = _amount(properties, REFUND_AMOUNTS, currency=currency)
    order_id = needed(properties.get("order_id"), "properties/order_id")
    refund_id = properties.get("refund_id")
    own = f"{order_id}:refund" if refund_id in (None, "") else needed(refund_id, "properties/refund_id")
    return {
        **amount,
        **_items(properties, places),
        "transaction_id": own,
        "refunds": order_id,
        "kind": "refund",
    }, places


def _amount(properties: Mapping[str, Any], names: tuple[str, ...], *, currency: str) -> tuple[dict[str, Any], Places]:
    name = next((name for name in names if properties.get(name) is not None), None)
    if name is None:
        raise Unusable("missing_field", f"properties/{names[0]}", f"one of {', '.join(names)} is needed")
    given = properties.get("currency") or currency
    places = {
        "transaction_id": "properties/order_id",
        "refunds": "properties/order_id",
        "amount": f"properties/{name}",
        "currency": "properties/currency",
        "items": "properties/products",
    }
    amount = {"amount": exact_amount(properties[name]), "currency": given.upper() if isinstance(given, str) else given}
    return amount, places


def _items(properties: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """Lines of the products that say which they are and what they cost; Segment obliges them to neither."""
    products = properties.get("products")
    if products is None:
        return {}
    if not isinstance(products, list):
        raise Unusable("invalid_type", "properties/products", "must be a list")
    lines: list[dict[str, Any]] = []
    for index, product in enumerate(products):
        where = f"properties/products/{index}"
        if not isinstance(product, dict):
            raise Unusable("invalid_type", where, "must be an object")
        name = next((name for name in ("product_id", "sku") if word(product.get(name)) is not None), None)
        if name is None or product.get("price") is None:
            continue
        at = f"items/{len(lines)}"
        places |= {at: where, f"{at}/product_id": f"{where}/{name}", f"{at}/unit_price": f"{where}/price"}
        quantity = product.get("quantity")
        lines.append(
            {
                "product_id": word(product[name]),
                "quantity": 1 if quantity is None else exact_price(quantity),
                "unit_price": exact_price(product["price"]),
            }
        )
    return {"items": lines}
