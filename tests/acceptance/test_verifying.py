"""`collector verify`: nothing is said of what is as it was noted, and a line of whatever is not."""

from __future__ import annotations

import pytest

from tests.acceptance.bronze import LONG_AGO, InParts, add_account, change, keep
from tests.acceptance.commands import Collector, Said, refused
from tests.servers import Database
from worker.db.progress import SliceKey

GOODS = b'{"data": {"listGoods": [{"nmID": 1, "price": 1.10}, {"nmID": 2}]}}'
LENIENT = b'{"data": {"listGoods": [{"nmID": 4, "price": NaN}]}}'
FILE = InParts([b"PK\x03", b"\x04\xff", b"end"])


@pytest.fixture
def keys(ready: Collector, database: Database) -> tuple[SliceKey, SliceKey]:
    """Two organizations: pages, pointers at them, and bytes; a file in parts that came twice."""
    prices = add_account(ready, "Sunrise", "wildberries", "prices")
    report = add_account(ready, "Northern", "yandex_market", "united_netting")
    first = keep(database, prices, (GOODS, 2), (LENIENT, 1), declared=3)
    keep(database, prices, (GOODS, 2), (LENIENT, 1), (b'{"data": {"listGoods": [{}]}}', 1), earlier=first)
    first = keep(database, report, (FILE, None))
    keep(database, report, (FILE, None), earlier=first)
    return prices, report


def verify(collector: Collector, *words: str) -> Said:
    return collector("verify", "--from", LONG_AGO, *words)


def test_what_is_as_it_was_noted_is_counted(ready: Collector, keys: tuple[SliceKey, SliceKey]) -> None:
    prices, _ = keys
    said = verify(ready)
    assert (said.code, said.out) == (0, "")
    assert said.err == "Rows read: 11. All is as it was noted.\n"
    for words in (("--org", "Sunrise"), ("--account", str(prices.account_id), "--stream", "wildberries/prices")):
        assert verify(ready, *words).err.startswith("Rows read: 5.")
    assert verify(ready, "--to", "2020-01-02").err.startswith("Rows read: 0.")


PRICES = "UPDATE raw.payload SET {} WHERE stream = 'prices' AND page_number = {} AND same_as IS NULL"
PART = "stream = 'united_netting' AND part = 1 AND same_as IS NULL"


DAMAGES = [
    (PRICES.format("payload = replace(payload::text, '1.10', '1.1')::json", 0), ["sha256"] * 2),
    (PRICES.format("payload = '[]'", 0), ["sha256", "has no records at 'data.listGoods'"] * 2),
    (PRICES.format("body = body || '\\x20'", 1), ["sha256"] * 2),
    (PRICES.format("sha256 = sha256('other')", 2), ["sha256"]),
    (PRICES.format("record_count = 2", 2), ["has 1 records at 'data.listGoods', and 2 were counted", "5 records"]),
    ("UPDATE collect.walk SET declared_total = 7 WHERE declared_total = 3", ["3 records, and 7 were declared"]),
    (f"UPDATE raw.payload SET body = 'else' WHERE {PART}", ["sha256"] * 2),
    (f"DELETE FROM raw.payload WHERE {PART}", ["lacks what comes before its part 2", "points at a page"]),
    ("DELETE FROM raw.payload WHERE stream = 'prices' AND page_number = 2", ["2 pages, and 3", "3 records, and 4"]),
]


@pytest.mark.usefixtures("keys")
def test_what_was_changed_is_found(ready: Collector, database: Database) -> None:
    known: set[str] = set()
    for damage, fragments in DAMAGES:
        change(database, damage)
        said = verify(ready)
        told = said.out.splitlines()
        assert said.code == 1
        assert said.err.endswith(f", differences {len(told)}\n")
        news = [line for line in told if line not in known]
        assert len(news) == len(fragments), damage
        for line, fragment in zip(news, fragments, strict=True):
            assert line.startswith(("wildberries/prices: ", "yandex_market/united_netting: "))
            assert fragment in line
        known |= set(news)


@pytest.mark.usefixtures("keys")
def test_what_cannot_be_verified_is_refused(ready: Collector) -> None:
    refused(verify(ready, "--org", "Nobody"), "no organization is called 'Nobody'")
    refused(verify(ready, "--account", "shop"), "--account: ")
    refused(verify(ready, "--org", "Sunrise", "--stream", "ozon/prices"), "has no account of ozon")
    refused(ready("verify"), "Missing option '--from'", code=2)
