"""The streams of the corner shop."""

from collectors.links import by_link
from collectors.paging import get
from collectors.stream import Snapshot, Stream, Windows
from collectors.windows import days, hours, minutes

from .api import API, CORNER_SHOP

GOODS = Stream(
    marketplace=CORNER_SHOP,
    name="goods",
    about="all goods, with prices and stocks",
    docs="https://corner-shop.example/api#goods",
    progress=Snapshot(),
    paging="Link: rel=next",
    pages=by_link(get(API, "/v1/goods", lambda walk, _: {"limit": walk.limit(100)}), rows=""),
    buckets=(),
    every=hours(6),
)

ORDERS = Stream(
    marketplace=CORNER_SHOP,
    name="orders",
    about="orders by the day they were placed",
    docs="https://corner-shop.example/api#orders",
    progress=Windows(longest=days(1), since=days(30), lag=minutes(5), restated=((days(14), hours(12)),)),
    paging="Link: rel=next",
    pages=by_link(
        get(API, "/v1/orders", lambda walk, _: {"from": f"{walk.span.start:%FT%TZ}", "to": f"{walk.span.end:%FT%TZ}"}),
        rows="orders",
    ),
    buckets=(),
    every=minutes(30),
)

STREAMS = (GOODS, ORDERS)
