"""What an Ozon seller advertises, and what each day of it cost and brought."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial

from sandbox.data_ozon_goods import base
from sandbox.records import DAY, Book, Dice, Life, Record, World, encode, moment, serial, verbatim, zulu
from sandbox.wire import moscow_midnight

KINDS = ("SKU", "SKU", "SKU", "BANNER", "SEARCH_PROMO")
"""Of the campaigns, which are as many. The banner is in the archive."""
ACTIVE = 3
GOODS = 2
"""In each campaign."""

Make = Callable[[Dice, str, date, int], Life]


class AdvertsData:
    """The books of advertising."""

    def __init__(self, world: World) -> None:
        def book(name: str, count: Callable[[date], int], make: Make) -> Book:
            def draw(seller: str, day: date, number: int) -> Life:
                return make(Dice(f"{world.seed}/ozon/{name}/{seller}/{day}/{number}"), seller, day, number)

            return Book(world, count, draw)

        self.campaigns = book("campaigns", lambda day: len(KINDS) if day == world.first_day else 0, _campaign)
        self.daily = book("perf_daily", lambda _: ACTIVE, partial(_of_day, _daily_text))
        self.expense = book("perf_daily", lambda _: ACTIVE, partial(_of_day, _expense_text))
        self.goods = book("perf_sku", lambda _: ACTIVE * GOODS, _good)


def campaign_id(seller: str, number: int) -> int:
    return int(seller) * 70 + number  # not the digits of a key, which the logs mask


def day_of(record: Record) -> date:
    """The Moscow day that a row tells of."""
    return (record.at + timedelta(hours=3)).date()


def sku(record: Record) -> str:
    return record.key.split("/")[1]


def numbers(record: Record) -> dict[str, int]:
    """Views, clicks, kopecks and orders; once the day is over for a while, a few orders more."""
    dice = Dice(record.key)
    clicks = dice.number("clicks", 0, 300)
    return {
        "views": clicks * dice.number("shows", 10, 60),
        "clicks": clicks,
        "kopecks": clicks * dice.number("price", 200, 2500),
        "orders": clicks // 20 + record.state,
        "sales": (clicks // 20 + record.state) * dice.number("sale", 30_000, 900_000),
    }


def comma(kopecks: int) -> str:
    return f"{kopecks // 100},{kopecks % 100:02d}"


def point(kopecks: int) -> str:
    return f"{kopecks // 100}.{kopecks % 100:02d}"


def _campaign(dice: Dice, seller: str, day: date, number: int) -> Life:
    made = moment(day, dice.number("second", 0, 86_399))
    return Life(
        key=str(campaign_id(seller, number)),
        order=number,
        at=made,
        born=made,
        every=5 * DAY,
        render=partial(_campaign_text, number, zulu(made)),
    )


def _campaign_text(number: int, made: str, record: Record) -> bytes:
    kind = KINDS[number]
    return encode(
        {
            "id": record.key,
            "paymentType": {"SKU": "CPC", "BANNER": "CPM", "SEARCH_PROMO": "CPO"}[kind],
            "title": f"Кампания {record.key}",
            "state": "CAMPAIGN_STATE_ARCHIVED" if kind == "BANNER" else "CAMPAIGN_STATE_RUNNING",
            "advObjectType": kind,
            "fromDate": made[:10],
            "toDate": "",
            "dailyBudget": "504000000",
            "placement": ["PLACEMENT_TOP_PROMOTION"],
            "budget": "0",
            "createdAt": made,
            "updatedAt": zulu(record.changed),
            "productAutopilotStrategy": "NO_AUTO_STRATEGY",
            "productCampaignMode": "PRODUCT_CAMPAIGN_MODE_AUTO",
        }
    )


def _life(key: str, campaign: int, day: date, number: int, render: Callable[[Record], bytes]) -> Life:
    midnight: datetime = moscow_midnight(day)
    return Life(
        key=key,
        order=serial(day, number),
        at=midnight,
        born=midnight + timedelta(hours=2),
        steps=(midnight + timedelta(hours=30), midnight + timedelta(hours=60)),
        slices=(str(campaign),),
        render=render,
    )


def _of_day(text: Callable[[Record], bytes], dice: Dice, seller: str, day: date, number: int) -> Life:
    del dice
    campaign = campaign_id(seller, number)
    return _life(f"{campaign}/{day}", campaign, day, number, text)


def _daily_text(record: Record) -> bytes:
    told = numbers(record)
    return encode(
        {
            "id": record.slice,
            "title": f"Кампания {record.slice}",
            "date": day_of(record).isoformat(),
            "views": str(told["views"]),
            "clicks": str(told["clicks"]),
            "moneySpent": comma(told["kopecks"]),
            "avgBid": "0,00",
            "orders": str(told["orders"]),
            "ordersMoney": comma(told["sales"]),
        }
    )


def _expense_text(record: Record) -> bytes:
    spent = numbers(record)["kopecks"]
    return encode(
        {
            "id": record.slice,
            "date": day_of(record).isoformat(),
            "title": f"Кампания {record.slice}",
            "moneySpent": comma(spent),
            "bonusSpent": "0,00",
            "prepaymentSpent": comma(spent),
        }
    )


def _good(dice: Dice, seller: str, day: date, number: int) -> Life:
    campaign, good = campaign_id(seller, number % ACTIVE), base(seller) * 1000 + number
    return _life(f"{campaign}/{good}/{day}", campaign, day, number, partial(_good_text, dice))


def _good_text(dice: Dice, record: Record) -> bytes:
    told = numbers(record)
    return encode(
        {
            "avgCpc": point(told["kopecks"] // max(told["clicks"], 1)),
            "campaignId": record.slice,
            "clicks": str(told["clicks"]),
            "ctr": verbatim("3.10"),
            "date": day_of(record).isoformat(),
            "dateAdded": "2026-01-10T09:00:00Z",
            "drr": verbatim("20.4"),
            "expense": point(told["kopecks"]),
            "modelOrders": str(told["orders"]),
            "modelSales": point(told["sales"]),
            "orders": str(told["orders"]),
            "price": point(dice.number("price", 20_000, 2_000_000)),
            "sales": point(told["sales"]),
            "sku": sku(record),
            "toCart": str(told["clicks"] // 7),
            "views": str(told["views"]),
        }
    )
