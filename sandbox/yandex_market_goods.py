"""What the methods of Yandex Market answer about the catalogue and the warehouses."""

from collections.abc import Mapping

from sandbox.data_yandex_market_goods import Goods
from sandbox.marketplace import Stream
from sandbox.records import Record, array, encode
from sandbox.wire import Call, Endpoint, Invalid, Refused, Reply, reply
from sandbox.yandex_market_listing import HOST, NAME, Listing

BUSINESS = "/v2/businesses/{businessId}"
CAMPAIGN = "/v2/campaigns/{campaignId}"


def goods_endpoints(goods: Goods) -> tuple[Endpoint, ...]:
    methods = _Methods(goods)
    stocks = Listing(
        "stocks", "POST", f"{CAMPAIGN}/offers/stocks", "warehouses", methods.stocks, 100, 50, truncates=True
    )
    v3 = "/v3/businesses/{businessId}"
    listings = (
        Listing(
            "offers", "POST", f"{BUSINESS}/offer-mappings", "offerMappings", methods.offers, 100, 50, truncates=True
        ),
        Listing("campaign_offers", "POST", f"{CAMPAIGN}/offers", "offers", methods.in_store, 200, 100),
        Listing("sku_stats", "POST", f"{CAMPAIGN}/stats/skus", "shopSkus", methods.skus),
        Listing("offer_cards", "POST", f"{BUSINESS}/offer-cards", "offerCards", methods.cards, 200, 100),
        Listing("stocks_v3", "POST", f"{v3}/offers/stocks", "offers", methods.own_stocks, 100, 50, truncates=True),
        Listing("warehouses", "POST", f"{v3}/warehouses", "warehouses", methods.own_warehouses, 30, 15),
        Listing("fby_warehouses", "GET", "/v2/warehouses", "warehouses", methods.fby_warehouses),
        Listing("promos", "POST", f"{BUSINESS}/promos", "promos", methods.promos),
        Listing("bids", "POST", f"{BUSINESS}/bids/info", "bids", methods.bids, 500, 250, truncates=True),
    )
    by_warehouse = Endpoint(NAME, "stocks", "POST", HOST, stocks.path, lambda call: methods.by_warehouse(stocks, call))
    return (by_warehouse, *(listing.endpoint for listing in listings))


def goods_streams(goods: Goods) -> Mapping[str, Stream]:
    return {
        "offers": Stream(goods.offers, None),
        "campaign_offers": Stream(goods.in_stores, None),
        "sku_stats": Stream(goods.skus, None),
        "offer_cards": Stream(goods.cards, None),
        "stocks": Stream(goods.stocks_by_warehouse, None),
        "stocks_v3": Stream(goods.stocks_of_warehouses, None),
        "warehouses": Stream(lambda seller, _: goods.own_warehouses(seller), None),
        "fby_warehouses": Stream(lambda _, __: goods.fby_warehouses(), None),
        "promos": Stream(lambda seller, now: list(goods.promos.seen(seller, now)), None),
        "bids": Stream(goods.bids, None),
    }


class _Methods:
    """What is let through by the filter of each method. Filters that are not played are refused."""

    def __init__(self, goods: Goods) -> None:
        self._goods = goods

    def offers(self, call: Call) -> list[Record]:
        call.body.only("archived")
        wanted = f"archived={str(call.body.flag('archived', default=False)).lower()}"
        return [row for row in self._goods.offers(call.seller, call.now) if row.slice == wanted]

    def in_store(self, call: Call) -> list[Record]:
        call.body.only()
        return _of_store(self._goods.in_stores(call.seller, call.now), call)

    def skus(self, call: Call) -> list[Record]:
        call.body.only("shopSkus")
        wanted = call.body.items("shopSkus", str)
        if not 0 < len(wanted) <= 500:
            raise Invalid("shopSkus: size must be between 1 and 500")
        return [row for row in _of_store(self._goods.skus(call.seller, call.now), call) if row.key in wanted]

    def cards(self, call: Call) -> list[Record]:
        call.body.only()
        return self._goods.cards(call.seller, call.now)

    def bids(self, call: Call) -> list[Record]:
        call.body.only()
        return self._goods.bids(call.seller, call.now)

    def promos(self, call: Call) -> list[Record]:
        call.body.only()
        return list(self._goods.promos.seen(call.seller, call.now))

    def own_warehouses(self, call: Call) -> list[Record]:
        call.body.only("components")
        if set(call.body.items("components", str)) != {"ADDRESS"}:
            raise Invalid("components: the sandbox plays ADDRESS only")
        return self._goods.own_warehouses(call.seller)

    def fby_warehouses(self, _: Call) -> list[Record]:
        return self._goods.fby_warehouses()

    def own_stocks(self, call: Call) -> list[Record]:
        call.body.only("partnerWarehouseId")
        wanted = str(call.body.integer("partnerWarehouseId", low=1, high=2**63 - 1))
        if wanted not in {warehouse.key for warehouse in self._goods.own_warehouses(call.seller)}:
            error = {"code": "NOT_FOUND", "message": f"Warehouse {wanted} not found"}
            raise Refused(reply({"status": "ERROR", "errors": [error]}, 404))
        return [row for row in self._goods.stocks_of_warehouses(call.seller, call.now) if row.slice == wanted]

    def stocks(self, call: Call) -> list[Record]:
        call.body.only("archived")
        if call.body.flag("archived", default=False):
            raise Invalid("archived: the sandbox plays what is not in the archive only")
        return _of_store(self._goods.stocks(call.seller, call.now), call)

    def by_warehouse(self, listing: Listing, call: Call) -> Reply:
        """A page of goods, told once for each warehouse that they are in. The quota counts each time."""
        page, paging, _ = listing.page(call)
        held = self._goods.warehouses(call.seller, call.path["campaignId"]) if page else ()
        told = [b'{"warehouseId":%b,"offers":%b}' % (warehouse.encode(), array(page)) for warehouse in held]
        body = b'{"status":"OK","result":{"warehouses":[%b],"paging":%b}}' % (b",".join(told), encode(paging))
        return Reply(200, body, records=len(page) * len(held))


def _of_store(rows: list[Record], call: Call) -> list[Record]:
    return [row for row in rows if row.slice == call.path["campaignId"]]
