"""What Ozon's streams list for others: products, SKUs, postings, warehouses."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from collectors.stream import IdsOf
from collectors.windows import days


class _Product(msgspec.Struct):
    product_id: int


class _Products(msgspec.Struct):
    items: list[_Product]


class _ProductPage(msgspec.Struct):
    result: _Products


class _Source(msgspec.Struct):
    sku: int = 0


class _Card(msgspec.Struct):
    sku: int  # 0 until the product has been moderated
    sources: list[_Source] | None = None  # a product of old has one for each way of delivery


class _Cards(msgspec.Struct):
    items: list[_Card]


class _Posting(msgspec.Struct):
    posting_number: str


class _Postings(msgspec.Struct):
    postings: list[_Posting]


class _Warehouse(msgspec.Struct):
    warehouse_id: int


class _Warehouses(msgspec.Struct):
    warehouses: list[_Warehouse]


def product_ids(body: bytes) -> Iterable[int]:
    return [product.product_id for product in msgspec.json.decode(body, type=_ProductPage).result.items]


def skus(body: bytes) -> Iterable[int]:
    for card in msgspec.json.decode(body, type=_Cards).items:
        yield from filter(None, {card.sku, *(source.sku for source in card.sources or ())})


def posting_numbers(body: bytes) -> Iterable[str]:
    return [posting.posting_number for posting in msgspec.json.decode(body, type=_Postings).postings]


def warehouse_ids(body: bytes) -> Iterable[str]:
    """Read the names of the slices that a page of `warehouses` lists."""
    return [str(warehouse.warehouse_id) for warehouse in msgspec.json.decode(body, type=_Warehouses).warehouses]


PRODUCT_IDS = IdsOf(streams=("products",), read=product_ids)
SKUS = IdsOf(streams=("product_info",), read=skus)
POSTING_NUMBERS = IdsOf(streams=("fbs_postings", "fbo_postings"), read=posting_numbers, within=days(60))
