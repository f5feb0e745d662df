"""`collector quarantine`: what a person sees of a refused answer, and one sentence for what cannot be done with it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
from pathlib import Path

import pytest

from tests.acceptance.bronze import add_account
from tests.acceptance.commands import Collector, refused
from tests.servers import Database
from tests.unit.collectors.scripted import answer_of
from worker.db.engine import make_engine, make_sessions
from worker.db.position import Position
from worker.db.progress import SliceKey
from worker.db.quarantine import Refused, set_aside
from worker.db.tenancy import tenant_driver

NOBODY = "00000000-0000-7000-8000-000000000000"
BODY = b'{"odd": "\xd0\xb4\xd0\xb0",\n "\x1b[2J": 1}'


def quarantine(database: Database, key: SliceKey, body: bytes = BODY) -> None:
    """Set an answer aside, as a worker does."""

    async def write() -> None:
        engine = make_engine(database.worker_url, null_pool=True)
        answer = answer_of(body, headers={"content-type": "application/json"})
        one = Refused(
            answer=answer, sha256=hashlib.sha256(body).digest(), reason="the envelope moved", position=Position(pages=7)
        )
        async with tenant_driver(make_sessions(engine), key.organization_id) as driver:
            await set_aside(driver, key, [one])

    asyncio.run(write())


@pytest.fixture
def key(ready: Collector, database: Database) -> SliceKey:
    """A slice with one refused answer, and another tenant's with one, too."""
    keys = (
        add_account(ready, "Sunrise", "wildberries", "orders"),
        add_account(ready, "Northern", "ozon", "fbs_postings"),
    )
    for of_one in keys:
        quarantine(database, of_one)
    return keys[0]


def ids(collector: Collector, *words: str) -> list[str]:
    return [row["id"] for row in collector("quarantine", "list", *words, "--json").json]


def test_the_answers_in_quarantine_are_listed_by_organization_and_account(ready: Collector, key: SliceKey) -> None:
    rows = ready("quarantine", "list", "--json").json
    assert [row["organization"] for row in rows] == ["Northern", "Sunrise"], "the newest first"
    (row,) = ready("quarantine", "list", "--org", "Sunrise", "--json").json
    assert (row["stream"], row["page_number"], row["status"], row["size"]) == ("orders", 7, 200, len(BODY))
    assert row["reason"] == "the envelope moved"
    assert ids(ready, "--account", str(key.account_id)) == [row["id"]]
    assert ids(ready, "--account", NOBODY) == []
    table = ready("quarantine", "list").out
    assert "wildberries/orders" in table
    assert "ozon/fbs_postings" in table
    refused(ready("quarantine", "list", "--org", "Nobody"), "no organization is called 'Nobody'")
    refused(ready("quarantine", "list", "--account", "shop"), "--account: 'shop' is not an id")


@pytest.mark.usefixtures("key")
def test_an_answer_is_shown_readably_and_written_whole(ready: Collector, tmp_path: Path) -> None:
    (found,) = ids(ready, "--org", "Sunrise")
    out = ready("quarantine", "show", found).out
    for said in ("the envelope moved", '"path":"/rows"', "application/json", "200", "wildberries/orders", "waiting"):
        assert said in out
    assert '{"odd": "да",\n "\\x1b[2J": 1}' in out, "a terminal must not take it for commands"
    file = tmp_path / "body"
    assert ready("quarantine", "show", found, "--body", str(file)).code == 0
    assert file.read_bytes() == BODY
    (row,) = ready("quarantine", "show", found, "--json").json
    assert (row["beginning"], row["whole"]) == ('{"odd": "да",\n "\\x1b[2J": 1}', True)
    refused(ready("quarantine", "show", NOBODY), "nothing in quarantine has the id")
    refused(ready("quarantine", "show", "it"), "'it' is not an id")
    refused(ready("quarantine", "show", found, "--body", str(tmp_path / "no" / "where")), "cannot be used")


def test_a_large_body_is_shown_by_its_beginning(ready: Collector, database: Database, key: SliceKey) -> None:
    quarantine(database, key, b"[" + b"1, " * 1_000_000 + b"1]")
    out = ready("quarantine", "show", ids(ready, "--org", "Sunrise")[0]).out
    assert "3.0 MB" in out
    assert out.endswith(" …\n")
    assert len(out) < 5000


@pytest.mark.usefixtures("key")
def test_what_was_dropped_is_listed_no_more_and_cannot_be_dropped_again(ready: Collector) -> None:
    (found,) = ids(ready, "--org", "Sunrise")
    assert ready("quarantine", "drop", found).out == ("It is dropped: wildberries/orders asks the marketplace again.\n")
    assert ids(ready, "--org", "Sunrise") == []
    assert ids(ready, "--org", "Sunrise", "--all") == [found]
    assert "dropped at" in ready("quarantine", "show", found).out
    for command in ("drop", "replay"):
        refused(ready("quarantine", command, found), "this answer was dropped already")
        refused(ready("quarantine", command, NOBODY), "nothing in quarantine has the id")
        refused(ready("quarantine", command, "it"), "is not an id")


@pytest.mark.usefixtures("key")
def test_a_replay_that_is_not_possible_is_one_sentence(ready: Collector) -> None:
    (found,) = ids(ready, "--org", "Sunrise")
    refused(ready("quarantine", "replay", found), "wildberries/orders no longer stands where it asked for this answer")
    assert ids(ready, "--org", "Sunrise") == [found]


def test_a_list_is_no_longer_than_wanted_and_says_how_much_is_left_out(
    ready: Collector, database: Database, key: SliceKey
) -> None:
    for number in range(3):
        quarantine(database, key, b"[%d]" % number)
    said = ready("quarantine", "list", "--limit", "2", "--json")
    assert [row["size"] for row in said.json] == [3, 3]
    assert said.err == "3 more are not shown: say --limit\n"
    assert ready("quarantine", "list", "--limit", "5").err == ""
    assert ready("quarantine", "list", "--limit", "0").code == 2


def test_several_answers_are_dropped_at_once_or_none_of_them(
    ready: Collector, database: Database, key: SliceKey
) -> None:
    quarantine(database, key, b"[1]")
    quarantine(database, key, b"[2]")
    one, two, three = ids(ready, "--org", "Sunrise")
    refused(ready("quarantine", "drop", one, NOBODY), "nothing in quarantine has the id")
    assert ids(ready, "--org", "Sunrise") == [one, two, three]
    said = ready("quarantine", "drop", one, two, one)
    assert said.out == "2 answers are dropped: wildberries/orders asks the marketplace again.\n"
    assert ids(ready, "--org", "Sunrise") == [three]


def test_all_answers_of_an_account_or_a_stream_are_dropped_at_once(
    ready: Collector, database: Database, key: SliceKey
) -> None:
    other = dataclasses.replace(key, stream="prices")
    for of_one in (key, other, other):
        quarantine(database, of_one, os.urandom(10))
    refused(ready("quarantine", "drop", "--all"), "--all wants --account or --stream")
    refused(ready("quarantine", "drop", "--account", str(key.account_id)), "say --all")
    refused(ready("quarantine", "drop"), "say which")
    refused(ready("quarantine", "drop", NOBODY, "--stream", "prices", "--all"), "not both")
    account = ("--account", str(key.account_id))
    refused(ready("quarantine", "drop", *account, "--stream", "cards", "--all"), "there is nothing to drop")
    assert ready("quarantine", "drop", *account, "--stream", "wildberries/prices", "--all").out.startswith("2 answers")
    quarantine(database, other)
    said = ready("quarantine", "drop", *account, "--all")
    assert said.out == "3 answers are dropped: 2 slices ask the marketplace again.\n"
    assert len(ids(ready)) == 1, "another tenant's"
    assert ready("quarantine", "drop", "--stream", "fbs_postings", "--all").code == 0
    assert ids(ready) == []
