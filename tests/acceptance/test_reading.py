"""`collector read`: what is stored, as JSON lines, to whom it belongs."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.bronze import LONG_AGO, InParts, add_account, change, keep
from tests.acceptance.commands import Collector, refused
from tests.servers import Database
from worker.db.progress import SliceKey

ROOT = Path(__file__).parents[2]
NOBODY = "00000000-0000-7000-8000-000000000000"
PRICES = "wildberries/prices"

# What a JSON library would change: a trailing zero, a number that is no double, a key twice, an escape, a space.
EXACT = '{"nmID": 1, "price": 1.10, "sum": 1234567890123456789012345678901234567890, "a": 1, "a": 2, "b": "\\u0431"}'
PAGE = b'{"data": {\n  "listGoods": [\r\n' + EXACT.encode() + b', {"nmID":\n2}]}}'
WITH_NUL = b'{"data": {"listGoods": [{"nmID": 3, "name": "\\u0000"}]}}'
LENIENT = b'{"data": {"listGoods": [{"nmID": 4, "price": NaN}]}}'


@pytest.fixture
def key(ready: Collector) -> SliceKey:
    return add_account(ready, "Sunrise", "wildberries", "prices")


def test_records_are_told_as_the_marketplace_wrote_them(ready: Collector, database: Database, key: SliceKey) -> None:
    other = add_account(ready, "Northern", "wildberries", "prices")
    keep(database, other, (b'{"data": {"listGoods": [{"nmID": "of another tenant"}]}}', 1))
    first = keep(database, key, (b'{"data": {"listGoods": [{"nmID": "superseded"}]}}', 1), (PAGE, 2))
    keep(database, key, (WITH_NUL, 1), (PAGE, 2), (LENIENT, 1), earlier=first)
    keep(database, key, (b'{"data": {"listGoods": [{"nmID": "of an open walk"}]}}', 1), complete=False)

    said = ready("read", "--stream", PRICES, "--account", str(key.account_id), "--from", LONG_AGO, "--records")
    assert said.code == 0, said.err
    assert said.out.splitlines() == ['{"nmID": 3, "name": "\\u0000"}', EXACT, '{"nmID":2}']
    assert said.err == "1 page holds no JSON that can be taken apart: without --records all is told.\n"
    by_name = ("--organization", "Sunrise", "--from", LONG_AGO, "--records")
    assert ready("read", "--stream", PRICES, *by_name).out == said.out
    assert ready("read", "--stream", PRICES, *by_name, "--limit", "2").out.splitlines()[1:] == [EXACT]
    assert ready("read", "--stream", PRICES, *by_name, "--to", "2020-01-02").out == ""
    assert len(ready("read", "--stream", PRICES, *by_name, "--all-versions").out.splitlines()) == 6


def test_a_reader_who_is_no_worker_reads_its_own_rows(
    ready: Collector, database: Database, key: SliceKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(database, key, (WITH_NUL, 1))
    monkeypatch.setenv("COLLECTOR_DATABASE_URL", database.url("collector_reader"))
    asked = ("--stream", PRICES, "--from", LONG_AGO, "--account", str(key.account_id))
    said = ready("read", *asked, "--org", str(key.organization_id), "--records")
    assert (said.code, said.out) == (0, '{"nmID": 3, "name": "\\u0000"}\n'), said.err
    assert ready("verify", *asked, "--org", str(key.organization_id)).code == 0
    refused(ready("read", *asked), "a reader may not ask whose an account is")


def test_a_page_is_told_with_what_was_asked_and_its_payload_untouched(
    ready: Collector, database: Database, key: SliceKey
) -> None:
    first = keep(database, key, (PAGE, 2))
    keep(database, key, (PAGE, 2), (LENIENT, 1), earlier=first)
    said = ready("read", "--stream", PRICES, "--org", str(key.organization_id), "--from", LONG_AGO)
    assert said.code == 0, said.err
    pointer, lenient = map(json.loads, said.out.splitlines())
    assert f'"payload":{PAGE.translate(None, bytes([10, 13])).decode()}' in said.out
    assert pointer["request"]["path"] == "/rows"
    assert (pointer["marketplace_account_id"], pointer["page_number"]) == (str(key.account_id), 0)
    assert (pointer["superseded"], pointer["record_count"]) == (False, 2)
    assert lenient["body_reason"].startswith("is not JSON")
    assert base64.b64decode(lenient["body"]) == LENIENT


def test_a_file_in_parts_is_told_part_by_part(ready: Collector, database: Database) -> None:
    key = add_account(ready, "Sunrise", "yandex_market", "united_netting")
    keep(database, key, (InParts([b"PK\x03", b"\x04\xff", b"end"]), None), (b"PK small", None))
    said = ready("read", "--stream", "yandex_market/united_netting", "--org", "Sunrise", "--from", LONG_AGO)
    lines = list(map(json.loads, said.out.splitlines()))
    assert [line["part"] for line in lines] == [0, 1, 2, 0]
    assert len({line["parts_id"] for line in lines[:3]}) == 1
    assert b"".join(base64.b64decode(line["body"]) for line in lines[:3]) == b"PK\x03\x04\xffend"
    assert base64.b64decode(lines[3]["body"]) == b"PK small"
    assert {line["file_name"] for line in lines} == {"report.zip"}


def test_an_incremental_reader_is_told_where_to_go_on(ready: Collector, database: Database, key: SliceKey) -> None:
    def read(since_xid: str) -> tuple[list[str], str]:
        said = ready("read", "--stream", PRICES, "--org", "Sunrise", "--records", "--since-xid", since_xid)
        assert said.code == 0, said.err
        return said.out.splitlines(), said.err.split()[-1]

    keep(database, key, (PAGE, 2))
    once, last = read("0")
    assert len(once) == 2
    nothing, same = read(last)
    assert (nothing, int(same) >= int(last)) == ([], True)
    keep(database, key, (WITH_NUL, 1))
    assert read(same)[0] == ['{"nmID": 3, "name": "\\u0000"}']


def test_what_cannot_be_read_is_refused(ready: Collector, key: SliceKey) -> None:
    def read(*words: str, stream: str = PRICES) -> None:
        refused(ready("read", "--stream", stream, *words), sentence)

    account = ("--account", str(key.account_id))
    sentence = "say from when to read: --from with a time, or --since-xid"
    read(*account)
    sentence = "say whose pages: --organization, or --account"
    read("--from", LONG_AGO)
    sentence = "no account has the id"
    read("--from", LONG_AGO, "--account", NOBODY)
    sentence = f"organization {NOBODY} has no account of wildberries"
    read("--from", LONG_AGO, "--org", NOBODY)
    sentence = f"has no account {key.account_id} of ozon"
    read("--from", LONG_AGO, *account, stream="ozon/prices")
    sentence = "no organization is called 'Nobody'"
    read("--from", LONG_AGO, "--org", "Nobody")
    sentence = "--limit would cut what --since-xid goes on behind"
    read(*account, "--since-xid", "1", "--limit", "1")
    sentence = "'prices' names no stream: write wildberries/prices"
    read(*account, "--from", LONG_AGO, stream="prices")
    sentence = "brings files, not records"
    read(*account, "--from", LONG_AGO, "--records", stream="ozon/products_report")
    sentence = "--from is not a time"
    read(*account, "--from", "yesterday")
    sentence = "--to needs --from"
    read(*account, "--to", LONG_AGO, "--since-xid", "0")


MEASURE = """
import sys
from tests.acceptance.large_bodies import memory
from worker.cli import main

stream, owner, since, records = sys.argv[1:3], sys.argv[3:5], sys.argv[5:7], "--records"
assert main(["read", *stream, *owner, *since, records, "--limit", "1"]) == 0
before = memory("VmRSS")
assert main(["read", *stream, *owner, *since, records]) == 0
assert main(["read", *stream, *owner, *since]) == 0
assert main(["verify", *stream, *owner, *since]) == 0
sys.stderr.write(str(memory("VmHWM") - before))
"""
LARGE, A_PAGE = 100 << 20, 2 << 20
MOST = 32 << 20  # bytes that reading it may cost; of 300 MB it costs no more


def fill(database: Database, key: SliceKey) -> list[str]:
    """Store pages of 2 MB, 100 MB together, all of them the same; return how to ask for them."""
    good = b'{"nmID": 1234567, "name": "%s"}, ' % ("б" * 400).encode()
    records = A_PAGE // len(good)
    keep(database, key, (b'{"data": {"listGoods": [%s]}}' % (good * records)[:-2], records))
    columns = (
        "organization_id, marketplace_account_id, marketplace, stream, lane, request, status, sha256, record_count"
    )
    change(
        database,
        f"INSERT INTO raw.payload (id, fetched_at, page_number, same_as, same_as_fetched_at, {columns})"
        f" SELECT uuidv7(), fetched_at, n, id, fetched_at, {columns}"
        f" FROM raw.payload, generate_series(2, {LARGE // A_PAGE}) n",
    )
    return ["--stream", PRICES, "--org", str(key.organization_id), "--from", LONG_AGO]


def test_memory_stays_flat_and_a_reader_who_has_enough_ends_it(database: Database, key: SliceKey) -> None:
    words = fill(database, key)
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True
    )
    assert int(measured.stderr.split()[-1]) < MOST, "bytes"
    with subprocess.Popen(
        [sys.executable, "-m", "worker.cli", "read", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as reading:
        assert reading.stdout is not None
        assert reading.stderr is not None
        assert reading.stdout.readline().startswith(b'{"id":')
        reading.stdout.close()
        assert reading.stderr.read() == b""
