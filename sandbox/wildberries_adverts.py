"""Wildberries: advertising campaigns and what they were charged."""

from collections.abc import Iterable
from datetime import date, timedelta
from functools import partial
from itertools import groupby
from typing import Final

from sandbox.data_wildberries import book
from sandbox.data_wildberries_goods import SUBJECTS, nm_id
from sandbox.marketplace import created
from sandbox.records import DAY, Dice, Life, Record, World, catalogue, encode, every_day, moment, moscow, serial
from sandbox.wildberries_lists import Streams, all_rows, endpoint, of_book, of_days, whole
from sandbox.wire import Call, Endpoint, Reply, reply

ADVERT: Final = "advert-api.wildberries.ru"
STATUSES: Final = (4, 9, 11, 7)  # ready, active, paused, over
FIRST_CAMPAIGN: Final = 5_000_000


class Adverts:
    def __init__(self, world: World) -> None:
        self.campaigns = book(world, "campaigns", catalogue(world, "wildberries/campaigns", 12, growth=0), _campaign)
        self.spend = book(world, "adv_spend", every_day(world, "wildberries/adv_spend", 4), partial(_charge, world))

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            endpoint("campaigns", "GET", ADVERT, "/adv/v1/promotion/count", self.count),
            endpoint("campaign_info", "GET", ADVERT, "/api/advert/v2/adverts", self.info),
            endpoint("adv_spend", "GET", ADVERT, "/adv/v1/upd", self.charges),
        )

    def streams(self) -> Streams:
        return {
            "campaigns": of_book(self.campaigns, None),
            "campaign_info": of_book(self.campaigns, None),
            "adv_spend": of_book(self.spend, created),
        }

    def count(self, call: Call) -> Reply:
        """Ids by status; a seller without campaigns has null."""
        call.query.only()
        rows = sorted(all_rows(self.campaigns, call), key=status_of)
        groups = [_group(status, found) for status, found in groupby(rows, key=status_of)]
        return reply({"adverts": groups or None, "all": len(rows)}, records=len(rows))

    def info(self, call: Call) -> Reply:
        call.query.only()
        return whole(all_rows(self.campaigns, call), b'{"adverts":%b}')

    def charges(self, call: Call) -> Reply:
        call.query.only("from", "to")
        return whole(of_days(self.spend, call, call.query, names=("from", "to"), longest=31))


def status_of(row: Record) -> int:
    return STATUSES[min(row.state, 3)]


def _group(status: int, rows: Iterable[Record]) -> dict[str, object]:
    listed = [{"advertId": row.life.order, "changeTime": moscow(row.changed)} for row in rows]
    return {"type": 9, "status": status, "count": len(listed), "advert_list": listed}


def _campaign(dice: Dice, seller: str, day: date, number: int) -> Life:
    made = moment(day, dice.number("second", 0, 86_399))
    campaign = FIRST_CAMPAIGN + serial(day, number, 100)
    return Life(
        key=str(campaign),
        order=campaign,
        at=made,
        born=made,
        steps=(made + DAY, made + timedelta(days=dice.number("paused", 5, 60)), made + 70 * DAY),
        render=partial(_campaign_text, dice, nm_id(seller, day, number), campaign),
    )


def _campaign_text(dice: Dice, nm: int, campaign: int, record: Record) -> bytes:
    goods = {"subject": {"id": 105, "name": dice.pick("subject", SUBJECTS)}, "nm_id": nm}
    bids = {"search": dice.number("bid", 1000, 20_000), "recommendations": 0}
    times = {
        "created": moscow(record.at),
        "started": moscow(record.life.steps[0]) if record.state else None,
        "updated": moscow(record.changed),
        "deleted": "2100-01-01T00:00:00+03:00",
    }
    return encode(
        {
            "bid_type": "manual",
            "currency": "RUB",
            "id": campaign,
            "nm_settings": [{"bids_kopecks": bids, **goods}],
            "settings": {
                "payment_type": dice.pick("payment", ("cpm", "cpc")),
                "name": f"Кампания {campaign}",
                "placements": {"search": True, "recommendations": False},
            },
            "restrictions": {"can_change_nms": True},
            "status": status_of(record),
            "timestamps": times,
        }
    )


def _charge(world: World, dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    spent = moment(day, dice.number("second", 0, 86_399))
    campaign = FIRST_CAMPAIGN + serial(world.first_day, number, 100)
    return Life(
        key=f"{serial(day, number)}/{campaign}",
        order=serial(day, number),
        at=spent,
        born=spent,
        steps=(spent + timedelta(hours=dice.number("charged", 1, 30)),),
        render=partial(_charge_text, dice, campaign),
    )


def _charge_text(dice: Dice, campaign: int, record: Record) -> bytes:
    return encode(
        {
            "updNum": record.life.order,
            "updTime": moscow(record.changed) if record.state else None,  # not charged yet
            "updSum": dice.number("sum", 10, 5000),
            "advertId": campaign,
            "campName": f"Кампания {campaign}",
            "advertType": 9,
            "paymentType": dice.pick("payment", ("Баланс", "Счет")),
            "advertStatus": 9,
        }
    )
