"""The commands as a person meets them: real servers, and one sentence for everything that can go wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from collectors.registry import STREAMS
from collectors.stream import ListedBy
from tests.acceptance.commands import Collector, Said, refused
from tests.servers import Database
from worker.cli import app
from worker.cli.reference import budget, faults, pages, streams

NOBODY = "00000000-0000-7000-8000-000000000000"
CANARY = "canary-3f9d1c77"


def add_account(collector: Collector, marketplace: str = "ozon", organization: str = "Sunrise", **options: str) -> str:
    words = {
        "name": "shop",
        "external-id": "1234567",
        "secret-ref": "env:SHOP_SECRET",
        **{name.replace("_", "-"): value for name, value in options.items()},
    }
    said = collector(
        "account", "add", "--org", organization, "--marketplace", marketplace,
        *(word for name, value in words.items() for word in (f"--{name}", value)),
    )  # fmt: skip
    assert said.code == 0, said.err
    return said.out.strip()


def test_an_account_that_is_added_is_due_in_every_stream(ready: Collector) -> None:
    organization = ready("org", "add", "Sunrise").out.strip()
    account = add_account(ready)
    rows = ready("status", "--json").json
    listed = {name for name, stream in STREAMS["ozon"].items() if isinstance(stream.slices, ListedBy)}
    assert {row["stream"] for row in rows} == set(STREAMS["ozon"]) - listed
    assert {(row["organization_id"], row["marketplace_account_id"]) for row in rows} == {(organization, account)}
    assert all(row["next_due_at"] for row in rows)
    assert ready("status").out.count("fbs_postings") == 1


def test_what_was_added_is_listed(ready: Collector) -> None:
    ready("org", "add", "Sunrise")
    account = add_account(ready, proxy_group="egress")
    assert [row["name"] for row in ready("org", "list", "--json").json] == ["Sunrise"]
    assert [row["id"] for row in ready("account", "list", "--org", "Sunrise", "--json").json] == [account]
    assert "env:SHOP_SECRET" in ready("account", "list").out


def test_an_account_whose_proxy_group_is_empty_is_pointed_out(ready: Collector) -> None:
    ready("org", "add", "Sunrise")
    said = ready(
        "account", "add", "--org", "Sunrise", "--marketplace", "ozon", "--name", "a", "--external-id", "1",
        "--secret-ref", "env:A", "--proxy-group", "nowhere",
    )  # fmt: skip
    assert said.code == 0
    assert "nowhere is empty" in said.err


async def _pause(database: Database, account: str) -> None:
    async with database.connect("collector_admin") as admin:
        await admin.execute(
            "UPDATE core.marketplace_account SET status = 'paused', status_reason = 'unpaid' WHERE id = $1",
            UUID(account),
        )


def test_a_paused_account_says_why_and_can_be_resumed(ready: Collector, database: Database) -> None:
    ready("org", "add", "Sunrise")
    account = add_account(ready)
    asyncio.run(_pause(database, account))
    assert "unpaid" in ready("account", "list").out
    refused(ready("enqueue", "--account", account, "--stream", "products"), "paused: unpaid")
    assert ready("account", "resume", account).code == 0
    assert [row["status"] for row in ready("account", "list", "--json").json] == ["active"]


def test_a_request_is_written_for_every_slice(ready: Collector) -> None:
    ready("org", "add", "Sunrise")
    said = ready("enqueue", "--account", add_account(ready), "--stream", "products")
    assert said.code == 0, said.err
    assert len([UUID(line) for line in said.out.split()]) == 2


def test_what_cannot_be_asked_is_refused_and_nothing_is_written(ready: Collector, database: Database) -> None:
    ready("org", "add", "Sunrise")
    other = ready("org", "add", "Northern").out.strip()
    account = add_account(ready)

    def ask(*words: str) -> Said:
        return ready("enqueue", "--account", account, *words)

    refused(ask("--stream", "nothing"), "ozon has no stream 'nothing': there are products")
    refused(ask("--stream", "products", "--org", other), "does not exist in organization")
    refused(ask("--stream", "products", "--slice", "MOON"), "has no slice 'MOON'")
    refused(ask("--stream", "products", "--from", "2020-01-01"), "is a snapshot")
    refused(ask("--stream", "fbs_postings", "--from", "2026-02-02", "--to", "2026-02-01"), "before it begins")
    refused(ask("--stream", "fbs_postings", "--from", "2026-02-02", "--to", "2926-02-03"), "ends in the future")
    refused(ask("--stream", "fbs_postings", "--from", "yesterday"), "--from is not a time")
    refused(ask("--stream", "fbs_postings", "--to", "2026-02-02"), "--to needs --from")
    refused(ready("enqueue", "--account", NOBODY, "--stream", "products"), "no account has the id")
    refused(ready("enqueue", "--account", "shop", "--stream", "products"), "not a UUID")
    refused(ready("enqueue", "--account", account), "Missing option '--stream'", code=2)
    wildberries = add_account(ready, "wildberries")
    feed = ready("enqueue", "--account", wildberries, "--stream", "order_feed", "--from", "2020-01-01")
    refused(feed, "keeps 31 days")
    assert asyncio.run(_count(database, "collect.request")) == 0


async def _count(database: Database, table: str) -> int:
    async with database.connect("collector_admin") as admin:
        return int(await admin.fetchval(f"SELECT count(*) FROM {table}"))


def test_an_account_that_cannot_be_is_refused_and_nothing_is_written(ready: Collector) -> None:
    ready("org", "add", "Sunrise")

    def add(**changed: str) -> Said:
        words = {
            "org": "Sunrise", "marketplace": "ozon", "name": "shop", "external-id": "1", "secret-ref": "env:A",
        } | {name.replace("_", "-"): value for name, value in changed.items()}  # fmt: skip
        return ready("account", "add", *(word for name, value in words.items() for word in (f"--{name}", value)))

    refused(add(marketplace="amazon"), "no marketplace is called 'amazon': there are wildberries, ozon, yandex_market")
    refused(add(org="Nobody"), "no organization is called 'Nobody'")
    refused(add(secret_ref="env:"), "--secret-ref")
    refused(add(name=" "), "must not be empty")
    pasted = add(secret_ref=CANARY)
    refused(pasted, "never the secret itself")
    assert CANARY not in pasted.err
    assert ready("account", "list", "--json").json == []
    assert add().code == 0
    refused(add(), "already")


def test_other_mistakes_are_one_sentence(ready: Collector) -> None:
    ready("org", "add", "Sunrise")
    refused(ready("org", "add", "Sunrise"), "already")
    refused(ready("account", "resume", NOBODY), "no account has the id")
    refused(ready("account", "resume", "shop"), "not a UUID")
    refused(ready("streams", "--marketplace", "amazon"), "no marketplace is called 'amazon'")
    refused(ready("dance"), "No such command 'dance'", code=2)
    refused(ready("org"), "Missing command", code=2)
    refused(ready("partitions", "ensure", "--ahead", "13"), "--ahead", code=2)


def test_partitions_are_made_and_listed(ready: Collector) -> None:
    assert ready("partitions", "ensure", "--ahead", "5").out.startswith("Made ")
    assert ready("partitions", "ensure", "--ahead", "5").out == "All of them are there.\n"
    rows = ready("partitions", "list", "--json").json
    assert {row["table"] for row in rows} == {"raw.payload", "collect.walk", "collect.run"}
    assert "5 whole months are ready" in ready("partitions", "list").out
    assert ready("partitions", "archive", "--older-than", "1").out == "No month is that old.\n"
    refused(ready("partitions", "archive", "--older-than", "0"), "--older-than", code=2)


def test_every_stream_is_described(collector: Collector) -> None:
    rows = collector("streams", "--json").json
    assert {(row["marketplace"], row["stream"]) for row in rows} == {
        (marketplace, name) for marketplace, streams in STREAMS.items() for name in streams
    }
    assert all(row["what it is"] and row["paging"] and row["every"] for row in rows)
    assert "orders" in collector("streams", "--marketplace", "wildberries").out


def test_without_urls_the_missing_setting_is_named(collector: Collector) -> None:
    refused(collector("status"), "COLLECTOR_DATABASE_URL is not set")
    refused(collector("migrate"), "COLLECTOR_OWNER_DATABASE_URL is not set")
    refused(collector("worker"), "is not set")


def test_a_database_without_migrations_is_refused_until_it_has_them(
    collector: Collector, empty_database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_DATABASE_URL", empty_database.worker_url)
    monkeypatch.setenv("COLLECTOR_OWNER_DATABASE_URL", empty_database.owner_url)
    monkeypatch.setenv("COLLECTOR_REDIS_URL", redis_url)
    for words in (("status",), ("org", "list"), ("worker",), ("partitions", "list")):
        refused(collector(*words), "run `collector migrate`")
    assert collector("migrate").code == 0
    assert collector("migrate").code == 0
    assert collector("org", "list", "--json").json == []


def test_the_wrong_role_is_refused(ready: Collector, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_DATABASE_URL", database.owner_url)
    refused(ready("worker"), "collector_owner")
    monkeypatch.setenv("COLLECTOR_OWNER_DATABASE_URL", database.worker_url)
    refused(ready("org", "list"), "may not become collector_admin")


def test_servers_that_do_not_answer_are_named_without_passwords(
    ready: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = f"postgresql://somebody:{CANARY}@127.0.0.1:1/nowhere"
    monkeypatch.setenv("COLLECTOR_OWNER_DATABASE_URL", nowhere)
    monkeypatch.setenv("COLLECTOR_DATABASE_URL", nowhere)
    for words, variable in ((("org", "list"), "OWNER_DATABASE_URL"), (("partitions", "list"), "DATABASE_URL")):
        said = ready(*words)
        refused(said, "127.0.0.1:1/nowhere", f"COLLECTOR_{variable}")
        assert CANARY not in said.err
    refused(ready("migrate"), "127.0.0.1:1/nowhere")


def test_a_password_that_is_refused_is_not_repeated(
    ready: Collector, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = database.servers.passwords["collector_owner"]
    monkeypatch.setenv("COLLECTOR_OWNER_DATABASE_URL", database.owner_url.replace(password, CANARY))
    said = ready("org", "list")
    refused(said, "password authentication failed")
    assert CANARY not in said.err


def test_a_request_is_written_although_redis_is_away(ready: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    ready("org", "add", "Sunrise")
    account = add_account(ready)
    monkeypatch.setenv("COLLECTOR_REDIS_URL", "redis://127.0.0.1:1/0")
    said = ready("enqueue", "--account", account, "--stream", "fbs_postings")
    assert said.code == 0, said.err
    UUID(said.out.strip())


def test_a_worker_that_does_not_run_fails_its_check(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = tmp_path / "alive"
    monkeypatch.setenv("COLLECTOR_HEALTH_FILE", str(health))
    refused(collector("worker", "--check"), "no worker has touched")
    health.touch()
    assert collector("worker", "--check").code == 0


def test_ctrl_c_is_told_by_the_exit_code(ready: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_: object, **__: object) -> asyncpg.Connection:
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncpg.connect", interrupted)
    said = ready("org", "list")
    assert said == Said(130, "", "")


def test_help_needs_no_settings(collector: Collector) -> None:
    for words in ((), ("--help",), ("org", "--help"), ("enqueue", "--help")):
        said = collector(*words)
        assert said.code == 0
        assert "Usage: collector" in said.out


def test_the_reference_is_what_the_commands_say() -> None:
    written = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
    assert written == pages(app), "docs/cli.md is stale: run `collector docs > docs/cli.md`"


def test_every_stream_is_in_the_documentation() -> None:
    written = (Path(__file__).parents[2] / "docs" / "streams.md").read_text("utf-8")
    assert written == streams(), "docs/streams.md is stale: run `collector docs streams > docs/streams.md`"


def test_what_a_day_takes_is_in_the_documentation() -> None:
    written = (Path(__file__).parents[2] / "docs" / "budget.md").read_text("utf-8")
    assert written == budget(), "docs/budget.md is stale: run `collector docs budget > docs/budget.md`"


def test_everything_that_can_go_wrong_is_in_the_documentation() -> None:
    written = (Path(__file__).parents[2] / "docs" / "faults.md").read_text("utf-8")
    assert written == faults(), "docs/faults.md is stale: run `collector docs faults > docs/faults.md`"
