"""`collector sql`: what it prints is run as it stands, and finds just the records that were collected."""

from __future__ import annotations

import json

import asyncpg

from collectors.registry import find_stream
from tests.acceptance.commands import Collector, refused
from tests.oracle import KEYS
from tests.servers import Database
from tests.stage import Account, Stage, run_all

# The root, one and two names deep; one record; values that are no objects; with slices.
STREAMS = {
    "wildberries": ("seller_warehouses", "claims", "prices", "seller_info"),
    "ozon": ("supply_orders",),
}


async def read(database: Database, account: Account, sql: str) -> list[asyncpg.Record]:
    async with database.connect("collector_reader") as reader:
        await reader.execute(f"SET app.organization_id = '{account.organization_id}'")
        return list(await reader.fetch(sql))


async def test_what_is_printed_finds_every_record_once(stage: Stage, database: Database, collector: Collector) -> None:
    organization, other = await stage.add_organization("Sunrise"), await stage.add_organization("Northern")
    nobody = await stage.add_account(other, "wildberries", number=2)
    for marketplace, names in STREAMS.items():
        account = await stage.add_account(organization, marketplace)
        async with stage.resources() as resources:
            for name in names:
                await run_all(resources, account, name)
                await stage.make_due()
                await run_all(resources, account, name)  # what it supersedes is not to be counted
        for name in names:
            await assert_found(database, collector, account, name)
    view = "SELECT count(*) FROM wildberries_prices"
    assert [row[0] for row in await read(database, nobody, view)] == [0], "a view must not show another tenant's rows"


async def assert_found(database: Database, collector: Collector, account: Account, name: str) -> None:
    stream = f"{account.marketplace}/{name}"
    found = await read(database, account, printed(collector, stream))
    pages = await read(
        database, account, f"SELECT payload, record_count FROM raw.page WHERE stream = '{name}' AND NOT superseded"
    )
    assert len(found) == sum(page["record_count"] for page in pages) > 0
    held = sorted(str(key) for page in pages for key in KEYS[stream](json.loads(page["payload"])))
    wrapped = [wrap(stream, json.loads(row["record"])) for row in found]
    assert sorted(str(key) for page in wrapped for key in KEYS[stream](page)) == held
    async with database.connect("collector_owner") as owner:
        view = f"{account.marketplace}_{name}"
        await owner.execute(printed(collector, stream, "--view"))
        await owner.execute(f"GRANT SELECT ON {view} TO collector_reader")
    assert sorted(row["record"] for row in await read(database, account, f"SELECT record FROM {view}")) == sorted(
        row["record"] for row in found
    )


def printed(collector: Collector, *words: str) -> str:
    said = collector("sql", *words)
    assert said.code == 0, said.err
    return said.out


def wrap(stream: str, record: object) -> object:
    """Return a page that holds just this record."""
    path = find_stream(*stream.split("/")).records
    if path is None:
        return record
    page: object = [record]
    for name in reversed([name for name in path.split(".") if name]):
        page = {name: page}
    return page


def test_what_has_no_records_is_refused(collector: Collector) -> None:
    refused(collector("sql", "ozon/products_report"), "brings files, which hold no JSON for SQL")
    refused(collector("sql", "prices"), "'prices' names no stream")
    refused(collector("sql", "ozon/prices", "--view", "--from", "2026-11-01"), "a view holds no times")
    assert "'2026-11-01 00:00:00+00:00'" in printed(collector, "ozon/prices", "--from", "2026-11-01")
