"""How things stand, at 3 a.m.: what is wrong, and the command that mends it; and what runs came to."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from redis import Redis

from tests.acceptance.commands import Collector, refused
from tests.acceptance.test_cli import NOBODY, add_account
from tests.servers import Database

# How a slice is made to be in a condition, and what the person is told to do about it.
CONDITIONS = {
    "quarantined": ("state = 'quarantined', last_error = 'not JSON'", "collector quarantine list --account {account}"),
    "unavailable": ("state = 'unavailable', last_error = 'no Premium'", "collector enqueue --account {account}"),
    "failing": ("attempts = 2, last_error = 'no answer'", "collector runs --account {account}"),
    "overdue": ("next_due_at = now() - interval '6 minutes'", "collector doctor"),
    "paused": ("state = 'paused'", "collector resume --account {account} --stream "),
    "waiting": ("not_before = now() + interval '1 hour', last_error = 'a limit'", None),
    "running": ("lease_until = now() + interval '20 s'", None),
    "ok": ("next_due_at = now() + interval '1 hour'", None),
    "idle": ("next_due_at = NULL", None),
}


async def change(database: Database, *statements: str) -> None:
    async with database.connect("collector_admin") as admin:
        for statement in statements:
            await admin.execute(statement)


def test_every_condition_is_told_with_the_command_that_mends_it(ready: Collector, database: Database) -> None:
    ready("org", "add", "Sunrise")
    account = add_account(ready)
    streams = sorted({row["stream"] for row in ready("status", "--json").json} - {"products", "product_attributes"})
    into = dict(zip(CONDITIONS, streams, strict=False))
    changes = (
        f"UPDATE collect.stream_state SET {CONDITIONS[name][0]} WHERE stream = '{stream}'"
        for name, stream in into.items()
    )
    asyncio.run(change(database, *changes))
    rows = {row["stream"]: row for row in ready("status", "--json").json}
    assert {name: rows[stream]["condition"] for name, stream in into.items()} == {name: name for name in CONDITIONS}
    problems = [row["condition"] for row in ready("status", "--problems", "--json").json]
    mends = {name: words.format(account=account) for name, (_, words) in CONDITIONS.items() if words}
    assert sorted(problems) == sorted(mends)
    shown = ready("status", "--problems").out
    for name, words in mends.items():
        assert words in rows[into[name]]["mend"]
        (line,) = [line for line in shown.splitlines() if line.startswith(f"{name}: ")]
        assert words in line
    assert "no Premium" in shown


def test_a_backfill_that_stands_still_is_asked_for_again_as_one(ready: Collector, database: Database) -> None:
    ready("org", "add", "Sunrise")
    account = add_account(ready)
    asked = ("backfill", "--account", "shop", "--stream", "returns", "--from", "2026-01-01", "--to", "2026-02-01")
    (first, again) = (ready(*asked, "--no-wait").out for _ in range(2))
    assert UUID(first.strip()) == UUID(again.strip())
    asyncio.run(change(database, "UPDATE collect.stream_state SET state = 'quarantined' WHERE lane = 'backfill'"))
    shown = ready("status", "--problems").out
    assert "returns (backfill)" in shown
    mend = f"collector enqueue --account {account} --stream returns --from DAY --to DAY"
    assert mend in shown
    assert ready(*mend.replace("DAY", "2026-01-01", 1).replace("DAY", "2026-02-01").split()[1:]).code == 0
    assert ready("status", "--problems").out == "Everything goes on by itself.\n"


def test_a_paused_account_is_one_problem_with_its_reason(ready: Collector, database: Database) -> None:
    ready("org", "add", "Sunrise")
    account = add_account(ready)
    assert ready("status", "--problems").out == "Everything goes on by itself.\n"
    asyncio.run(change(database, "UPDATE core.marketplace_account SET status = 'paused', status_reason = 'unpaid'"))
    shown = ready("status", "--account", "shop", "--stream", "ozon/returns").out
    assert "shop (paused): unpaid" in shown
    assert f"collector account resume {account}" in shown


@pytest.mark.parametrize(
    ("place", "condition", "mend"),
    [
        ("--org Sunrise", "organization paused", "collector resume --org "),
        ("--account shop", "account paused", "collector account resume "),
        ("--account shop --stream prices", "paused", "collector resume --account "),
        ("--marketplace ozon", "marketplace paused", "collector resume --marketplace ozon"),
        ("--marketplace ozon --stream prices", "stream paused", "collector resume --marketplace ozon --stream prices"),
    ],
)
def test_a_pause_is_a_problem_with_its_reason_its_end_and_the_command_that_ends_it(
    ready: Collector, place: str, condition: str, mend: str
) -> None:
    ready("org", "add", "Sunrise")
    add_account(ready)
    every = len(ready("status", "--json").json)
    ready("pause", *place.split(), "--reason", "stocktaking", "--until", "3h")
    rows = ready("status", "--problems", "--json").json
    assert len(rows) == (1 if "--stream" in place else every)
    assert {(row["condition"], row["reason"]) for row in rows} == {(condition, "stocktaking")}
    shown = ready("status", "--account", "shop", "--stream", "prices").out
    for words in (mend, "stocktaking", "in 3.0 h"):
        assert words in shown
    command = rows[0]["mend"]
    assert ready(*command[command.index("collector ") :].split()[1:]).code == 0
    assert ready("status", "--problems").out == "Everything goes on by itself.\n"


def test_the_lag_of_a_stream_counts_from_the_interval_that_was_wished(ready: Collector, database: Database) -> None:
    ready("org", "add", "Sunrise")
    add_account(ready)
    sql = "UPDATE collect.stream_state SET last_success_at = now() - interval '5 h', \"interval\" = '1 h'"
    asyncio.run(change(database, sql, "UPDATE collect.stream_state SET every_override = '3 h' WHERE stream = 'prices'"))
    lags = {row["stream"]: row["lag"] for row in ready("status", "--json").json}
    assert lags["prices"] == pytest.approx(2 * 3600, abs=60)
    assert lags["returns"] == pytest.approx(4 * 3600, abs=60)


def test_more_than_a_screen_is_added_up_and_can_be_narrowed(ready: Collector, database: Database) -> None:
    for name in ("Sunrise", "Northern"):
        ready("org", "add", name)
        for number in range(2):
            add_account(ready, organization=name, name=f"shop {number}")
    sql = "UPDATE collect.stream_state SET state = 'unavailable' WHERE stream = 'returns'"
    asyncio.run(change(database, sql, "UPDATE core.organization SET status = 'paused' WHERE name = 'Northern'"))
    every = len(ready("status", "--json").json)
    assert every > 100
    summed = ready("status").out
    assert f"{every} slices, {every // 2 + 2} of them with problems." in summed
    assert summed.count("1 unavailable") == 2
    assert summed.count("organization paused") == 2
    by_marketplace = ready("status", "--by", "marketplace", "--json").json
    assert [(row["accounts"], row["problems"]) for row in by_marketplace] == [(2, every // 2), (2, 2)]
    narrow = ready("status", "--org", "Sunrise", "--account", "shop 1", "--json").json
    assert len(narrow) == every // 4
    refused(ready("status", "--account", "shop 7"), "no account is called 'shop 7'")
    refused(ready("status", "--stream", "retuns"), "did you mean returns")
    refused(ready("status", "--marketplace", "amazon"), "there are wildberries, ozon, yandex_market")
    refused(ready("status", "--watch"), "needs a terminal")


def test_the_workers_role_alone_sees_the_same(ready: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Sunrise", "Northern"):
        ready("org", "add", name)
        add_account(ready, organization=name)

    def seen() -> Any:
        return sorted((row["organization"], row["stream"], row["slice"]) for row in ready("status", "--json").json)

    as_administrator = seen()
    monkeypatch.delenv("COLLECTOR_OWNER_DATABASE_URL")
    assert seen() == as_administrator


RUN = """
INSERT INTO collect.run (id, organization_id, marketplace_account_id, marketplace, stream, slice, lane, started_at,
    finished_at, outcome, pages, records, requests, seconds_waited, worker, error)
SELECT uuidv7(interval '-{ago}'), organization_id, id, 'ozon', 'returns', '', 'live', now() - interval '{ago} 2 s',
    now() - interval '{ago}', '{outcome}', 3, 40, 5, 1.5, 'host:1', '{error}'
FROM core.marketplace_account
"""


def test_runs_are_listed_newest_first_and_one_is_shown_whole(ready: Collector, database: Database) -> None:
    ready("org", "add", "Sunrise")
    add_account(ready)
    failed = RUN.format(ago="1 hour", outcome="quarantined", error="the envelope moved")
    refusal = """
        INSERT INTO collect.quarantine (organization_id, marketplace_account_id, marketplace, stream, lane, at, request,
            status, reason)
        SELECT organization_id, id, 'ozon', 'returns', 'live', now() - {ago}, '{{}}', 200, '{reason}'
        FROM core.marketplace_account
    """
    asyncio.run(
        change(
            database,
            RUN.format(ago="2 days", outcome="done", error=""),
            failed,
            RUN.format(ago="30 minutes", outcome="done", error=""),
            refusal.format(ago="interval '1 hour 1 s'", reason="of this run"),
            refusal.format(ago="interval '3 hours'", reason="of another"),
            "UPDATE collect.stream_state SET not_before = now() + interval '1 hour' WHERE stream = 'returns'",
        )
    )
    assert [row["outcome"] for row in ready("runs", "--json").json] == ["done", "quarantined"]
    assert len(ready("runs", "--since", "7d", "--json").json) == 3
    assert "There are more" in ready("runs", "--limit", "1").err
    (row,) = ready("runs", "--outcome", "quarantined", "--account", "shop", "--stream", "returns", "--json").json
    shown = ready("run", "show", row["id"])
    for words in ("ozon/returns", "the envelope moved", "3 pages, 40 records", "waited 1.5 s", "of this run", "until"):
        assert words in shown.out, shown.err
    assert "of another" not in shown.out
    (as_json,) = ready("run", "show", row["id"], "--json").json
    assert [one["reason"] for one in as_json["quarantine"]] == ["of this run"]
    refused(ready("run", "show", NOBODY), f"no run has the id {UUID(NOBODY)}")
    refused(ready("runs", "--since", "soon"), "--since: 'soon' is no time")


def test_the_last_run_stands_beside_its_slice(ready: Collector, database: Database) -> None:
    ready("org", "add", "Sunrise")
    add_account(ready)
    asyncio.run(change(database, RUN.format(ago="2 hours", outcome="done", error="")))
    assert "2.0 h ago: done" in ready("status", "--stream", "returns").out


def levels(collector: Collector, *words: str) -> dict[str, dict[str, str]]:
    said = collector("doctor", "--json", *words)
    found: dict[str, dict[str, str]] = {}
    for finding in json.loads(said.out):
        if found.setdefault(finding["check"], finding)["level"] == "ok":
            found[finding["check"]] = finding
    assert said.code == int(any(finding["level"] == "fail" for finding in found.values()))
    return found


def test_a_collector_that_lacks_nothing_passes_every_check(ready: Collector) -> None:
    found = levels(ready)
    assert {finding["level"] for finding in found.values()} == {"ok"}, found
    assert len(found) >= 15
    assert ready("doctor").code == 0


def test_the_doctor_names_all_that_is_wrong_at_once(
    ready: Collector, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready("org", "add", "Sunrise")
    add_account(ready, proxy_group="egress", secret_ref="env:NO_SUCH_SECRET")
    asyncio.run(change(database, "UPDATE collect.stream_state SET next_due_at = now() - interval '1 hour'"))
    asyncio.run(_as_owner(database, "ALTER TABLE raw.payload NO FORCE ROW LEVEL SECURITY"))
    monkeypatch.setenv("COLLECTOR_RATE_SCALE", "60")
    monkeypatch.setenv("COLLECTOR_PARTITIONS_AHEAD", "12")
    found = levels(ready, "--processes", "50")
    for check, level, words in (
        ("configuration", "fail", "COLLECTOR_RATE_SCALE"),
        ("isolation", "fail", "not forced"),
        ("partitions", "warn", "collector partitions ensure"),
        ("connections", "fail", "50 × 15 connections"),
        ("schedule", "warn", "start workers"),
        ("secrets", "fail", "env:NO_SUCH_SECRET is not set"),
        ("proxies", "fail", "`collector proxy add`"),
    ):
        assert found[check]["level"] == level, found[check]
        assert words in found[check]["words"]
    assert {found[check]["level"] for check in ("database", "redis", "role", "migrations", "clocks")} == {"ok"}


def test_a_redis_that_may_drop_limits_is_found(ready: Collector, redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert "set maxmemory-policy to noeviction" in levels(ready)["redis"]["words"]
        finally:
            client.config_set("maxmemory-policy", "noeviction")


def test_the_doctor_goes_on_where_a_server_is_away(ready: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("COLLECTOR_DATABASE_URL", "postgresql://collector_worker:canary-71c9@127.0.0.1:1/nowhere")
    found = levels(ready)
    assert "127.0.0.1:1/nowhere" in found["database"]["words"]
    assert "Redis at 127.0.0.1:1" in found["redis"]["words"]
    assert found["role"] == {"check": "role", "level": "warn", "words": "not looked at: the database cannot be used"}
    assert found["administrator"]["level"] == found["disk"]["level"] == "ok"
    assert "canary-71c9" not in json.dumps(found)


def test_a_setting_that_cannot_be_read_is_the_doctors_first_finding(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_POOL_SIZE", "many")
    assert "COLLECTOR_POOL_SIZE" in levels(collector)["configuration"]["words"]


async def _as_owner(database: Database, statement: str) -> None:
    async with database.connect("collector_owner") as owner:
        await owner.execute(statement)


def test_ctrl_c_leaves_a_backfill_to_the_workers_and_says_how_to_look_again(
    ready: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("worker.cli.backfill.watch", interrupted)
    ready("org", "add", "Sunrise")
    add_account(ready)
    said = ready("backfill", "--account", "shop", "--stream", "returns", "--from", "2026-01-01")
    assert said.code == 130
    assert f"look again: collector backfill --follow {said.out.strip()}" in said.err
    assert "The workers go on with it." in said.err
    assert ready("backfill", "--follow", said.out.strip(), "--no-wait").out == said.out
    refused(ready("backfill", "--follow", said.out.strip(), "--stream", "returns"), "leave the other options out")
    refused(ready("backfill", "--account", "shop"), "say --account, --stream and --from")


def test_what_is_missing_is_drawn_and_told_to_programs(ready: Collector) -> None:
    ready("org", "add", "Sunrise")
    add_account(ready)
    shown = ready("coverage", "--account", "shop").out
    assert "returns " in shown
    assert "stocks_fbs" not in shown, "a list of now has no past"
    assert "░" * 29 in shown
    (row,) = ready("coverage", "--stream", "ozon/returns", "--json").json
    assert (row["covered"], len(row["pending"]), row["impossible"]) == ([], 1, [])
