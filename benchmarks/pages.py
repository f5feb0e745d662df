"""Pages of records as a marketplace writes them, no two alike.

Making one anew would take longer than storing it: one of each size is made, and each page is that one with its own
number in every record.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count

from collectors.ozon.goods import PRICES
from collectors.stream import Answer, Page, Request

STREAM = PRICES
_WORDS = ("Платье", "Рубашка", "Кроссовки", "чёрный", "белый", "хлопок", "летний", "женский", "мужской", "доставка")
_NUMBER = "100000000"  # in every record, where a page has its own
_NUMBERS = count(int(_NUMBER) + 1)


def bodies(size: int, total: int) -> list[bytes]:
    """Return pages of about `size` bytes, `total` bytes in all but one at least, which nobody has seen before."""
    one, number = _body(size), _NUMBER.encode()
    return [one.replace(number, b"%d" % next(_NUMBERS)) for _ in range(max(1, total // size))]


def pages(of: Sequence[bytes]) -> list[Page]:
    """Return what the stream would yield of these bodies, the walk's last page last."""
    request = Request(method="POST", host="api-seller.ozon.ru", path="/v5/product/info/prices", body={"limit": 1000})
    now = datetime.now(UTC)
    return [
        Page(
            answer=Answer(
                request=request, status=200, headers={"content-type": "application/json"}, body=body, fetched_at=now
            ),
            records=body.count(b'"offer_id"'),
            cursor={"cursor": str(number)},
            last=number == len(of) - 1,
        )
        for number, body in enumerate(of)
    ]


@functools.cache
def _body(size: int) -> bytes:
    chance = random.Random(size)
    records, length = [], 0
    while length < size:
        records.append(json.dumps(_record(chance), ensure_ascii=False).encode())
        length += len(records[-1])
    return b'{"items":[' + b",".join(records) + b'],"cursor":"x"}'


def _record(chance: random.Random) -> dict[str, object]:
    return {
        "product_id": int(_NUMBER + f"{chance.randrange(10**6):06d}"),
        "offer_id": f"SKU-{chance.randrange(10**9):09d}",
        "name": " ".join(chance.choices(_WORDS, k=5)),
        "price": {"price": f"{chance.randrange(10**6) / 100:.4f}", "old_price": f"{chance.randrange(10**6) / 100:.4f}"},
        "updated_at": f"2026-11-{chance.randrange(1, 28):02d}T{chance.randrange(24):02d}:15:00Z",
        "stock": chance.randrange(1000),
        "is_archived": chance.random() < 0.1,
    }
