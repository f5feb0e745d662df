"""Wildberries: reports by a task, which is created, asked for its status and downloaded."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from sandbox.data_wildberries import book
from sandbox.data_wildberries_goods import BRANDS, SUBJECTS, nm_id
from sandbox.marketplace import created
from sandbox.records import (
    MOSCOW,
    Book,
    Dice,
    Life,
    Record,
    World,
    catalogue,
    encode,
    every_day,
    moment,
    serial,
    verbatim,
)
from sandbox.wildberries_lists import Streams, all_rows, endpoint, of_book, of_days, whole
from sandbox.wildberries_methods import HOSTS
from sandbox.wire import Call, Endpoint, Refused, Reply, reply

GROUPS: Final = ("groupByBrand", "groupBySubject", "groupBySa", "groupByNm", "groupByBarcode", "groupBySize")


@dataclass
class Task:
    """One that was asked for; its rows are those of the moment of asking."""

    seller: str
    rows: list[Record]
    polls: int = 0


class Tasks:
    """`polls` is how often a task is not done yet."""

    def __init__(self, world: World, refuse: Callable[[datetime], Refused], *, polls: int) -> None:
        self._refuse = refuse
        self._polls = polls
        self._tasks: dict[str, Task] = {}
        self.remains = book(world, "cards", catalogue(world, "wildberries/cards", 120), _remains)
        self.storage = book(world, "paid_storage", every_day(world, "wildberries/paid_storage", 6), _storage)
        self.acceptance = book(world, "acceptance", every_day(world, "wildberries/acceptance", 2), _acceptance)

    def endpoints(self) -> tuple[Endpoint, ...]:
        makers: dict[str, tuple[str, Callable[[Call], list[Record]]]] = {
            "warehouse_remains": ("/api/v1/warehouse_remains", self.all_remains),
            "paid_storage": ("/api/v1/paid_storage", partial(days_of, self.storage, 8)),
            "acceptance": ("/api/v1/acceptance_report", partial(days_of, self.acceptance, 31)),
        }
        analytics = HOSTS["order_feed"]
        return tuple(
            endpoint(stream, "GET", analytics, path + tail, answer, step)
            for stream, (path, rows) in makers.items()
            for step, tail, answer in self._steps(rows)
        )

    def _steps(self, rows: Callable[[Call], list[Record]]) -> tuple[tuple[str, str, Callable[[Call], Reply]], ...]:
        return (
            ("create", "", partial(self.create, rows)),
            ("status", "/tasks/{task}/status", self.status),
            ("file", "/tasks/{task}/download", self.download),
        )

    def streams(self) -> Streams:
        return {
            "warehouse_remains": of_book(self.remains, None),
            "paid_storage": of_book(self.storage, created),
            "acceptance": of_book(self.acceptance, created),
        }

    def all_remains(self, call: Call) -> list[Record]:
        call.query.only("locale", *GROUPS)
        for group in GROUPS:
            call.query.flag(group, default=False)
        return all_rows(self.remains, call)

    def create(self, rows: Callable[[Call], list[Record]], call: Call) -> Reply:
        found = rows(call)
        task = str(UUID(hex=Dice(f"{call.seller}/{len(self._tasks)}/{call.now}").hex("task", 32), version=4))
        self._tasks[task] = Task(call.seller, found)
        return reply({"data": {"taskId": task}})

    def status(self, call: Call) -> Reply:
        task = self._task(call)
        task.polls += 1
        status = "done" if task.polls > self._polls else "new" if task.polls == 1 else "processing"
        return reply({"data": {"id": call.path["task"], "status": status}})

    def download(self, call: Call) -> Reply:
        """The rows, 204 if there are none, and 404 before it is done."""
        task = self._task(call)
        if task.polls <= self._polls:
            raise self._refuse(call.now)
        return whole(task.rows) if task.rows else Reply(204, b"")

    def _task(self, call: Call) -> Task:
        call.query.only()
        task = self._tasks.get(call.path["task"])
        if task is None or task.seller != call.seller:
            raise self._refuse(call.now)
        return task


def days_of(rows: Book, longest: int, call: Call) -> list[Record]:
    call.query.only("dateFrom", "dateTo")
    return of_days(rows, call, call.query, longest=longest)


def _remains(dice: Dice, seller: str, day: date, number: int) -> Life:
    made, nm = moment(day, dice.number("second", 0, 86_399)), nm_id(seller, day, number)
    return Life(
        key=str(nm + 2_000_000_000_000),
        order=nm,
        at=made,
        born=made,
        every=timedelta(hours=dice.number("sold", 2, 50)),
        render=partial(_remains_text, dice, nm),
    )


def _remains_text(dice: Dice, nm: int, record: Record) -> bytes:
    quantity = dice.number(f"quantity {record.state}", 0, 300)
    places = {"Всего находится на складах": quantity, "Склад WB РФ": quantity, "В пути до получателей": 3}
    return encode(
        {
            "brand": dice.pick("brand", BRANDS),
            "subjectName": dice.pick("subject", SUBJECTS),
            "vendorCode": f"ART-{dice.number('article', 1, 9999)}",
            "nmId": nm,
            "barcode": record.key,
            "techSize": "0",
            "volume": verbatim("1.30"),
            "warehouses": [{"warehouseName": name, "quantity": number} for name, number in places.items()],
        }
    )


def _storage(dice: Dice, seller: str, day: date, number: int) -> Life:
    nm = nm_id(seller, day, number)
    return _of_day(f"{day}/{nm}", day, number, partial(_storage_text, dice, nm, day.isoformat()))


def _of_day(key: str, day: date, number: int, render: Callable[[Record], bytes]) -> Life:
    """What is known of a Moscow day at eight the next morning."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=MOSCOW)
    return Life(key=key, order=serial(day, number), at=midnight, born=midnight + timedelta(hours=32), render=render)


def _storage_text(dice: Dice, nm: int, day: str, record: Record) -> bytes:
    del record
    return encode(
        {
            "date": day,
            "logWarehouseCoef": 0,
            "officeId": 0,
            "warehouse": "Склад WB РФ",
            "warehouseCoef": verbatim("1.70"),
            "giId": dice.number("gi", 10**6, 10**8),
            "chrtId": nm + 7,
            "size": "0",
            "barcode": str(nm + 2_000_000_000_000),
            "subject": dice.pick("subject", SUBJECTS),
            "brand": dice.pick("brand", BRANDS),
            "vendorCode": f"ART-{dice.number('article', 1, 9999)}",
            "nmId": nm,
            "volume": 12,
            "calcType": "короба: без габаритов",
            "warehousePrice": verbatim(f"{dice.number('price', 0, 90)}.65"),
            "barcodesCount": 1,
            "palletPlaceCode": 0,
            "palletCount": 0,
            "originalDate": day,
            "loyaltyDiscount": 10,
            "tariffFixDate": "",
            "tariffLowerDate": "",
        }
    )


def _acceptance(dice: Dice, seller: str, day: date, number: int) -> Life:
    income = serial(day, number, 10)
    text = partial(_acceptance_text, dice, nm_id(seller, day, number), income, day.isoformat())
    return _of_day(str(income), day, number, text)


def _acceptance_text(dice: Dice, nm: int, income: int, day: str, record: Record) -> bytes:
    del record
    return encode(
        {
            "count": dice.number("count", 1, 60),
            "giCreateDate": day,
            "incomeId": income,
            "nmID": nm,
            "shkCreateDate": day,
            "subjectName": dice.pick("subject", SUBJECTS),
            "total": verbatim(f"{dice.number('total', 10, 900)}.04"),
        }
    )
