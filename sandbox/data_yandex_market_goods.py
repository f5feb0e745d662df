"""The catalogue of Yandex Market as its methods tell it: all tell of the goods that have a price.

A good is in one store, as its number says; some are in the archive.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

from sandbox.data_yandex_market import GOODS, YandexMarketData
from sandbox.data_yandex_market_places import fby_warehouses, own_warehouse_ids, own_warehouses, warehouses_of_store
from sandbox.records import Book, Dice, Life, Record, World, catalogue, encode, moment, serial, verbatim, zulu

CARD_STATUSES = ("HAS_CARD_CAN_UPDATE", "HAS_CARD_CAN_NOT_UPDATE", "NO_CARD_PROCESSING")
STATUSES = ("PUBLISHED", "NO_STOCKS", "DISABLED_BY_PARTNER")
MECHANICS = ("DIRECT_DISCOUNT", "BLUE_FLASH", "MARKET_PROMOCODE")

Telling = Callable[[str, Record], bytes]  # of a seller's good


class Goods:
    """The goods of every cabinet, seen by one method or another."""

    def __init__(self, world: World, data: YandexMarketData) -> None:
        self._world = world
        self._data = data

        def promo(seller: str, day: date, number: int) -> Life:
            return _promo(Dice(f"{world.seed}/yandex_market/promos/{seller}/{day}/{number}"), day, number)

        self.promos = Book(world, catalogue(world, "yandex_market/promos", 8), promo)

    def offers(self, seller: str, now: datetime) -> list[Record]:
        return [
            _told(seller, good, _offer_text, f"archived={str(_archived(good)).lower()}")
            for good in self._seen(seller, now)
        ]

    def in_stores(self, seller: str, now: datetime) -> list[Record]:
        return [_told(seller, good, _store_text, self._store(seller, good)) for good in self._seen(seller, now)]

    def skus(self, seller: str, now: datetime) -> list[Record]:
        return [_told(seller, good, _sku_text, self._store(seller, good)) for good in self._seen(seller, now)]

    def cards(self, seller: str, now: datetime) -> list[Record]:
        return [_told(seller, good, _card_text) for good in self._seen(seller, now)]

    def bids(self, seller: str, now: datetime) -> list[Record]:
        """Every other good has one."""
        return [_told(seller, good, _bid_text) for good in self._seen(seller, now) if good.life.order % 2 == 0]

    def own_warehouses(self, seller: str) -> list[Record]:
        return own_warehouses(self._world, seller)

    def fby_warehouses(self) -> list[Record]:
        return fby_warehouses(self._world)

    def stocks(self, seller: str, now: datetime) -> list[Record]:
        """Of the goods in each store that are not in the archive, wherever they are."""
        return [
            _told(seller, good, _stock_text, self._store(seller, good))
            for good in self._seen(seller, now)
            if not _archived(good)
        ]

    def stocks_by_warehouse(self, seller: str, now: datetime) -> list[Record]:
        """The same, once for each warehouse: keys are `warehouse/good`."""
        return [
            replace(stock, life=replace(stock.life, key=f"{warehouse}/{stock.key}"))
            for stock in self.stocks(seller, now)
            for warehouse in self.warehouses(seller, stock.slice)
        ]

    def warehouses(self, seller: str, store: str) -> tuple[str, ...]:
        """Where the goods of a store are."""
        return warehouses_of_store(seller, self._data.campaign_ids(seller).index(store))

    def stocks_of_warehouses(self, seller: str, now: datetime) -> list[Record]:
        """In the seller's own warehouses: each good is in one."""
        own = own_warehouse_ids(seller)
        return [
            replace(stock, life=replace(stock.life, slices=(own[stock.life.order % len(own)],)))
            for stock in self.stocks(seller, now)
        ]

    def _seen(self, seller: str, now: datetime) -> Iterator[Record]:
        return self._data.prices.seen(seller, now)

    def _store(self, seller: str, good: Record) -> str:
        return self._data.campaign_ids(seller)[good.life.order % self._data.stores]


def _told(seller: str, good: Record, tell: Telling, slice_: str = "") -> Record:
    life = replace(good.life, slices=(slice_,), render=lambda record: tell(seller, record))
    return replace(good, life=life)


def _archived(good: Record) -> bool:
    return good.life.order // 1000 % 10 == 0


def _dice(seller: str, good: Record) -> Dice:
    return Dice(f"{seller}/{good.life.order}")


def _price(dice: Dice, record: Record) -> dict[str, object]:
    price = dice.number(f"price {record.state}", 100, 15_000)
    return {"value": verbatim(f"{price}.00"), "currencyId": "RUR", "updatedAt": zulu(record.changed)}


def _offer_text(seller: str, record: Record) -> bytes:
    dice = _dice(seller, record)
    name = dice.pick("name", GOODS)
    category = dice.number("category", 1000, 9999)
    return encode(
        {
            "offer": {
                "offerId": record.key,
                "name": name,
                "marketCategoryId": category,
                "vendor": "Ёж",
                "barcodes": [str(dice.number("barcode", 46 * 10**11, 47 * 10**11))],
                "weightDimensions": {
                    "length": verbatim("65.50"),
                    "width": 50,
                    "height": 20,
                    "weight": verbatim("1.001"),
                },
                "basicPrice": _price(dice, record),
                "cardStatus": dice.pick("card", CARD_STATUSES),
                "archived": _archived(record),
            },
            "mapping": {
                "marketSku": dice.number("sku", 10**9, 10**11),
                "marketSkuName": name,
                "marketCategoryId": category,
            },
        }
    )


def _store_text(seller: str, record: Record) -> bytes:
    dice = _dice(seller, record)
    status = "ARCHIVED" if _archived(record) else dice.pick(f"status {record.state}", STATUSES)
    return encode({"offerId": record.key, "basicPrice": _price(dice, record), "status": status})


def _sku_text(seller: str, record: Record) -> bytes:
    dice = _dice(seller, record)
    tariff = {"type": "AGENCY_COMMISSION", "amount": verbatim(f"{dice.number('fee', 1, 90)}.50"), "currency": "RUR"}
    return encode(
        {
            "shopSku": record.key,
            "marketSku": dice.number("sku", 10**9, 10**11),
            "name": dice.pick("name", GOODS),
            "price": dice.number("price", 200, 9000),
            "categoryId": dice.number("category", 1000, 9999),
            "weightDimensions": {"length": verbatim("65.50"), "width": 50, "height": 20, "weight": verbatim("1.001")},
            "tariffs": [{**tariff, "parameters": [{"name": "percent", "value": "13"}]}],
        }
    )


def _card_text(seller: str, record: Record) -> bytes:
    dice = _dice(seller, record)
    return encode(
        {
            "offerId": record.key,
            "mapping": {"marketSku": dice.number("sku", 10**9, 10**11), "marketSkuName": dice.pick("name", GOODS)},
            "parameterValues": [{"parameterId": 14202862, "valueId": dice.number("value", 1, 99), "value": "зелёный"}],
            "cardStatus": dice.pick("card", CARD_STATUSES),
            "contentRating": dice.number(f"rating {record.state}", 20, 100),
            "contentRatingStatus": "ACTUAL",
        }
    )


def _bid_text(seller: str, record: Record) -> bytes:
    return encode({"sku": record.key, "bid": _dice(seller, record).number(f"bid {record.state}", 50, 9999)})


def _stock_text(seller: str, record: Record) -> bytes:
    """A good as it lies in a warehouse; which one is told around it."""
    fit = _dice(seller, record).number(f"fit {record.state}", 1, 90)
    stocks = [{"type": "FIT", "count": fit}, {"type": "AVAILABLE", "count": fit // 2}]
    return encode({"offerId": record.key, "stocks": stocks, "updatedAt": zulu(record.changed)})


def _promo(dice: Dice, day: date, number: int) -> Life:
    begins = moment(day, 0)
    return Life(
        key=f"cf_{serial(day, number)}",
        order=serial(day, number),
        at=begins,
        born=begins,
        render=lambda record: _promo_text(dice, record),
    )


def _promo_text(dice: Dice, record: Record) -> bytes:
    ends = record.at + timedelta(days=dice.number("days", 3, 30))
    mechanics: dict[str, object] = {"type": dice.pick("mechanics", MECHANICS)}
    if mechanics["type"] == "MARKET_PROMOCODE":
        mechanics["promocodeInfo"] = {"promocode": "ЁЖ26", "discount": 10}
    return encode(
        {
            "id": record.key,
            "name": "Осенняя распродажа",
            "period": {"dateTimeFrom": zulu(record.at), "dateTimeTo": zulu(ends)},
            "participating": dice.chance("participating", 50),
            "assortmentInfo": {
                "activeOffers": dice.number("active", 0, 50),
                "potentialOffers": 60,
                "processing": False,
            },
            "mechanicsInfo": mechanics,
            "bestsellerInfo": {"bestseller": False},
        }
    )
