"""Wildberries: stock, warehouses, supplies and tariffs."""

from datetime import date, timedelta
from functools import partial
from typing import Final

from sandbox.data_wildberries import CITIES, book
from sandbox.data_wildberries_goods import SUBJECTS, nm_id
from sandbox.records import (
    DAY,
    Book,
    Dice,
    Life,
    Record,
    World,
    catalogue,
    encode,
    every_day,
    moment,
    moscow,
    serial,
    verbatim,
)
from sandbox.wildberries_lists import Streams, all_rows, endpoint, fixed, of_book, page, whole
from sandbox.wildberries_methods import HOSTS
from sandbox.wildberries_sales import MARKET
from sandbox.wire import Call, Endpoint, Reply

SUPPLIES: Final = "supplies-api.wildberries.ru"
COMMON: Final = "common-api.wildberries.ru"
STOCK_PAGE: Final = 250_000
TARIFFS: Final = {
    "box": ("boxDeliveryBase", "boxDeliveryLiter", "boxStorageBase", "boxStorageLiter"),
    "pallet": ("palletDeliveryValueBase", "palletDeliveryValueLiter", "palletStorageExpr", "palletStorageValueExpr"),
    "return": ("deliveryDumpKgtOfficeBase", "deliveryDumpKgtOfficeLiter", "deliveryDumpSupReturnExpr"),
}


class Goods:
    def __init__(self, world: World) -> None:
        def stock(name: str, *, own: bool) -> Book:
            count = catalogue(world, f"wildberries/{name}", 60)
            return book(world, name, count, partial(_stock, own=own))

        self.stocks = {name: stock(name, own=name == "stocks_seller") for name in ("stocks_wb", "stocks_seller")}
        self.warehouses = book(world, "warehouses", fixed(3, world.first_day), _warehouse)
        self.supplies = book(world, "supplies", every_day(world, "wildberries/fbw_supplies", 2), _supply)
        self.commission = book(world, "commission", fixed(40, world.first_day), _commission)
        self.tariffs = {
            name: book(world, f"tariffs_{name}", fixed(12, world.first_day), partial(_tariff, name)) for name in TARIFFS
        }

    def endpoints(self) -> tuple[Endpoint, ...]:
        def stock(name: str, path: str) -> Endpoint:
            path = f"/api/analytics/v1/stocks-report/{path}"
            return endpoint(name, "POST", HOSTS["order_feed"], path, partial(stock_page, self.stocks[name]))

        def tariffs(name: str) -> Endpoint:
            answer = partial(tariff_list, self.tariffs[name])
            return endpoint(f"tariffs_{name}", "GET", COMMON, f"/api/v1/tariffs/{name}", answer)

        return (
            stock("stocks_wb", "wb-warehouses"),
            stock("stocks_seller", "seller-warehouses"),
            endpoint("seller_warehouses", "GET", MARKET, "/api/v3/warehouses", self.warehouse_list),
            endpoint("fbw_supplies", "POST", SUPPLIES, "/api/v1/supplies", self.supply_page),
            endpoint("tariffs_commission", "GET", COMMON, "/api/v1/tariffs/commission", self.commission_list),
            *map(tariffs, TARIFFS),
        )

    def streams(self) -> Streams:
        return {
            **{name: of_book(stock, None) for name, stock in self.stocks.items()},
            "seller_warehouses": of_book(self.warehouses, None),
            "fbw_supplies": of_book(self.supplies, None),
            "tariffs_commission": of_book(self.commission, None),
            **{f"tariffs_{name}": of_book(tariffs, None) for name, tariffs in self.tariffs.items()},
        }

    def warehouse_list(self, call: Call) -> Reply:
        call.query.only()
        return whole(all_rows(self.warehouses, call))

    def supply_page(self, call: Call) -> Reply:
        """The newest first."""
        call.query.only("limit", "offset")
        call.body.only()
        return page(all_rows(self.supplies, call)[::-1], call, call.query, most=1000, default=1000)

    def commission_list(self, call: Call) -> Reply:
        call.query.only("locale")
        return whole(all_rows(self.commission, call), b'{"report":%b}')


def stock_page(stock: Book, call: Call) -> Reply:
    call.body.only("limit", "offset")
    rows = all_rows(stock, call)
    return page(rows, call, call.body, most=STOCK_PAGE, default=STOCK_PAGE, envelope=b'{"data":{"items":%b}}')


def tariff_list(tariffs: Book, call: Call) -> Reply:
    call.query.only("date")
    call.query.day("date")
    envelope = b'{"response":{"data":{"currency":"RUB","dtTillMax":"2027-03-31","warehouseList":%b}}}'
    return whole(all_rows(tariffs, call), envelope)


def _stock(dice: Dice, seller: str, day: date, number: int, *, own: bool) -> Life:
    created, nm = moment(day, dice.number("second", 0, 86_399)), nm_id(seller, day, number)
    size = nm + 7
    return Life(
        key=str(size),
        order=size,
        at=created,
        born=created,
        every=timedelta(hours=dice.number("every", 1, 30)),
        render=partial(_stock_text, dice, nm, size, own),
    )


def _stock_text(dice: Dice, nm: int, size: int, own: bool, record: Record) -> bytes:
    quantity = dice.number(f"quantity {record.state}", 0, 200)
    if own:
        city = dice.pick("city", CITIES)
        place = {"warehouseId": 1 + CITIES.index(city), "warehouseName": f"склад {city}", "regionName": city}
        return encode({"nmId": nm, "chrtId": size, **place, "quantity": quantity})
    # Since August 2026 warehouses are masked.
    place = {"warehouseId": -999999, "warehouseName": "Склад WB", "regionName": "Склад WB"}
    way = {"inWayToClient": dice.number("to", 0, 9), "inWayFromClient": dice.number("from", 0, 3)}
    return encode({"nmId": nm, "chrtId": size, **place, "quantity": quantity, **way})


def _warehouse(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    opened = moment(day, 0)
    return Life(
        key=str(number + 1), order=number, at=opened, born=opened, render=partial(_warehouse_text, dice, number + 1)
    )


def _warehouse_text(dice: Dice, number: int, record: Record) -> bytes:
    del record
    return encode(
        {
            "name": f"склад {dice.pick('city', CITIES)}",
            "officeId": dice.number("office", 1, 300),
            "id": number,
            "cargoType": 1,
            "deliveryType": 1,
            "isDeleting": False,
            "isProcessing": False,
        }
    )


def _supply(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    created = moment(day, dice.number("second", 0, 86_399))
    planned = created + timedelta(hours=dice.number("planned", 1, 30))
    preorder = 10**9 + serial(day, number)
    return Life(
        key=str(preorder),
        order=preorder,
        at=created,
        born=created,
        steps=(planned, planned + 3 * DAY),
        render=partial(_supply_text, dice, preorder),
    )


def _supply_text(dice: Dice, preorder: int, record: Record) -> bytes:
    planned, taken = (moscow(step) for step in record.life.steps)
    return encode(
        {
            "phone": f"+7 916 *** {dice.number('phone', 10, 99)} 44",
            "supplyID": preorder - 7 if record.state else None,  # not before it is planned
            "preorderID": preorder,
            "createDate": moscow(record.at),
            "supplyDate": planned[:10] + "T00:00:00+03:00" if record.state else None,
            "factDate": taken if record.state == 2 else None,
            "updatedDate": moscow(record.changed) if record.state else None,
            "statusID": (1, 2, 5)[record.state],
            "boxTypeID": dice.pick("box", (1, 2, 5)),
            "isBoxOnPallet": False,
        }
    )


def _commission(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    told = moment(day, 0)
    return Life(
        key=str(6000 + number), order=number, at=told, born=told, render=partial(_commission_text, dice, 6000 + number)
    )


def _commission_text(dice: Dice, subject: int, record: Record) -> bytes:
    del record
    base = dice.number("commission", 5, 24)
    return encode(
        {
            "kgvpBooking": verbatim(f"{base}.5"),
            "kgvpMarketplace": verbatim(f"{base + 1}.5"),
            "kgvpPickup": verbatim(f"{base}.50"),
            "kgvpSupplier": base,
            "kgvpSupplierExpress": 3,
            "paidStorageKgvp": verbatim(f"{base + 1}.5"),
            "parentID": 657,
            "parentName": "Дом",
            "subjectID": subject,
            "subjectName": f"{dice.pick('subject', SUBJECTS)} {subject}",
        }
    )


def _tariff(name: str, dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    told = moment(day, 0)
    warehouse = f"Склад {number + 1}"
    return Life(
        key=warehouse, order=number, at=told, born=told, render=partial(_tariff_text, dice, warehouse, TARIFFS[name])
    )


def _tariff_text(dice: Dice, warehouse: str, fields: tuple[str, ...], record: Record) -> bytes:
    del record
    # Numbers as people write them: a space between thousands, a comma, or nothing to tell.
    numbers = {field: dice.pick(field, ("48", "11,2", "0,14", "1 039", "-")) for field in fields}
    return encode({**numbers, "warehouseName": warehouse})
