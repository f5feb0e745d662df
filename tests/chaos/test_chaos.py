"""Everything goes wrong at once, and again and again: nothing is lost, nothing is doubled, nobody is stuck.

`make soak` is the same with a thousand blows.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from collectors.stream import Window
from sandbox import ozon_adverts
from sandbox.clock import Clock
from sandbox.proxies import Proxies
from sandbox.server import Play, Sandbox
from tests.chaos.crew import Crew
from tests.chaos.storm import STORMY, Storm, kept_busy, let_time_pass
from tests.oracle import assert_honest, assert_whole
from tests.servers import Database
from tests.stage import PAGE_LIMITS, Account, Stage, reports, stage_settings
from worker.db.migrate import upgrade
from worker.embedded import Embedded, start

MARKETPLACES = ("wildberries", "ozon", "yandex_market")
ASKED = {"wildberries": "order_feed", "ozon": "fbs_postings", "yandex_market": "orders"}
CREW = 4
RUNS = 40  # of one slice in a minute, where it is offered every ten seconds: four were counted, by a hot loop 280
CALM_WITHIN = timedelta(minutes=2)  # from the last blow until every slice has been brought up to date once more
_SHORT_OF_NOW = timedelta(days=2)  # what a stream that knows whole days of Moscow has not been asked for yet


@pytest.fixture
def home() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="collector-chaos-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def servers(home: Path) -> Iterator[Embedded]:
    """Servers of this test alone, and durable: they are killed."""
    with start(home) as running:
        upgrade(running.servers.owner_url)
        yield running


@pytest.fixture
async def stage(servers: Embedded, home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    # A report whose id a worker took with it keeps its seller's place until it is made: of that we wait for less here.
    monkeypatch.setattr(ozon_adverts, "MADE_IN", 10.0)
    database = Database(servers.servers.database, servers.servers)
    async with Sandbox(
        home / "sandbox",
        clock=Clock.frozen(datetime.now(UTC)),
        page_limits=PAGE_LIMITS | {"wildberries/orders": 10},
        rate_scale=1e9,
        play=Play(scale=0.3, report_polls=0, latency=0.05),
    ) as box:
        settings = stage_settings(box, database, servers.servers.redis_url, rate_scale=1e9)
        yield Stage(box, database, settings, home)


# In its minutes Python collects what earlier tests left, event loops of pytest-asyncio's among it, and blames this one.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_in_a_storm_nothing_is_lost_nothing_is_doubled_and_nobody_is_stuck(
    stage: Stage, home: Path, request: pytest.FixtureRequest
) -> None:
    blows, seed = request.config.getoption("--blows"), request.config.getoption("--seed")
    began = datetime.now(UTC)
    with Proxies(home / "sandbox", 3) as proxies:
        accounts = await tenants(stage, proxies)
        windows = await asked_for(stage, accounts, began)
        environment = stage.environment() | {"COLLECTOR_POOL_SIZE": "8", "COLLECTOR_MAX_JOBS": "20"}
        async with Crew(CREW, environment, home) as crew:
            storm = Storm(stage, home, proxies, crew, blows, random.Random(seed))  # noqa: S311 - it need only repeat
            try:
                async with kept_busy(stage):
                    await storm.rage()
                await settled(stage, crew)
                assert crew.fell == [], "a worker left by itself"
                assert set(crew.stopped) == {0}, "a worker that was told to stop left with an error"
                for account in accounts:
                    listed = [name for name in STORMY[account.marketplace] if name not in reports(account.marketplace)]
                    await assert_whole(stage, account, listed)
                await assert_honest(stage)
                await assert_all_wanted_is_covered(stage, windows, began)
                await assert_in_their_months(stage, began)
                await assert_nobody_ran_for_nothing(stage)
                assert "a mistake of ours" not in crew.said
            finally:
                storm.end_servers()
    assert len(storm.struck) == 9, f"not every kind of blow was struck: {storm.struck}"


async def tenants(stage: Stage, proxies: Proxies) -> list[Account]:
    for number, url in enumerate(proxies.urls):
        user, password = url.removeprefix("https://").partition("@")[0].split(":")
        secret = stage.secrets / f"proxy-{number}"
        secret.write_text(json.dumps({"user": user, "password": password}))
        await stage.change(
            "INSERT INTO core.proxy (name, proxy_group, url, secret_ref) VALUES ($1, 'egress', $2, $3)",
            secret.name,
            "https://" + url.partition("@")[2],
            f"file:{secret}",
        )
    return [
        await stage.add_account(
            organization, marketplace, number=number, proxy_group="egress", streams=STORMY[marketplace]
        )
        for number, name in enumerate(("Sunrise", "Northern"), 1)
        for organization in [await stage.add_organization(name)]
        for marketplace in MARKETPLACES
    ]


async def asked_for(stage: Stage, accounts: list[Account], began: datetime) -> Window:
    """Ask for more of the past, which a second lane brings meanwhile; return which."""
    window = Window(began - timedelta(days=60), began - timedelta(days=20))
    async with stage.resources() as resources:
        for account in accounts:
            if account.marketplace == "ozon":
                await stage.client(resources).request(
                    account.organization_id, account.id, "fbs_postings", window=window, asked_by="chaos"
                )
    return window


async def settled(stage: Stage, crew: Crew) -> None:
    """Return when every slice was brought up to date after the last blow, and nothing is under way."""
    stage.box.ledger.recover()
    url = stage.settings.redis_url
    assert url is not None
    async with Redis.from_url(url.get_secret_value()) as redis:  # what it knows of bad proxies, time would mend
        await redis.flushall()
    calm = datetime.now(UTC)
    give_up = calm + CALM_WITHIN
    while left := await unsettled(stage, calm):
        assert datetime.now(UTC) < give_up, f"they are stuck: {left}"
        crew.look()
        assert crew.fell == [], "a worker left by itself"
        await let_time_pass(stage, since=calm)
        await asyncio.sleep(1)


async def unsettled(stage: Stage, calm: datetime) -> list[tuple[str, ...]]:
    rows = await stage.rows(
        "SELECT marketplace, stream, slice, lane, state, last_error FROM collect.stream_state"
        " WHERE (state <> 'active' OR lease_until IS NOT NULL OR last_success_at IS NULL"
        "      OR (lane = 'live' AND last_success_at < $1))",
        calm,
    )
    open_requests = await stage.rows("SELECT stream FROM collect.request WHERE done_at IS NULL")
    return [tuple(row) for row in (*rows, *open_requests)]


async def assert_all_wanted_is_covered(stage: Stage, asked: Window, began: datetime) -> None:
    rows = await stage.rows(
        "SELECT c.stream, c.slice FROM collect.coverage c"
        " JOIN collect.stream_state s USING (marketplace_account_id, stream, slice)"
        " WHERE s.lane = 'live' AND s.state = 'active' AND c.wanted_from IS NOT NULL AND c.stream = ANY ($2)"
        " AND NOT c.covered @> tstzrange(c.wanted_from, $1)",
        began - _SHORT_OF_NOW,
        ["accruals_by_day", "fbs_postings", "order_feed"],
    )
    assert rows == []
    missed = await stage.value(
        "SELECT count(*) FROM collect.coverage WHERE stream = 'fbs_postings' AND NOT covered @> tstzrange($1, $2)",
        asked.start,
        asked.end,
    )
    assert missed == 0


async def assert_in_their_months(stage: Stage, began: datetime) -> None:
    """A clock that was a month ahead moved no page there."""
    first, last = (await stage.rows("SELECT min(fetched_at), max(fetched_at) FROM raw.payload"))[0]
    assert began - timedelta(seconds=5) <= first <= last <= datetime.now(UTC) + timedelta(seconds=5)


async def assert_nobody_ran_for_nothing(stage: Stage) -> None:
    """A slice that wakes itself, or that two wake in turns, runs as often as there are workers for it."""
    often = await stage.rows(
        "SELECT marketplace, stream, slice, lane, count(*), max(error) FROM collect.run"
        " GROUP BY marketplace_account_id, marketplace, stream, slice, lane, date_trunc('minute', started_at)"
        " HAVING count(*) > $1",
        RUNS,
    )
    assert [tuple(row) for row in often] == []
