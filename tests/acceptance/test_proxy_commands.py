"""The proxies as a person keeps them: adding, testing, listing, removing."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from threading import Thread
from typing import TypeVar

import pytest
from redis.asyncio import Redis

from sandbox.server import Sandbox
from tests.acceptance.commands import Collector, Said, refused
from tests.integration.http.peers import Tunnel
from tests.servers import Database
from worker.http.health import Health
from worker.http.proxies import Proxy

CANARY = "canary-3f9d1c77"
Made = TypeVar("Made")
StartTunnel = Callable[..., Tunnel]


@contextmanager
def loop_beside() -> Iterator[Callable[[Coroutine[object, object, Made]], Made]]:
    """Give what runs a coroutine on a loop in a thread of its own: the commands have the main one."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def start(ready: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartTunnel]:
    """Play the marketplaces, and start proxies that were added in the group egress."""
    stack = AsyncExitStack()
    with loop_beside() as do:

        def make(name: str, *, password: str | None = None, egress: str = "127.0.0.2") -> Tunnel:
            credentials = None if password is None else ("ann", password)
            tunnel: Tunnel = do(stack.enter_async_context(Tunnel(credentials, egress=egress).serve()))
            words = ["--url", f"http://127.0.0.1:{tunnel.port}"]
            if password is not None:
                secret = tmp_path / name
                secret.write_text(json.dumps({"user": "ann", "password": password}))
                words += ["--secret-ref", f"file:{secret}"]
            assert ready("proxy", "add", name, "--group", "egress", *words).code == 0
            return tunnel

        box: Sandbox = do(stack.enter_async_context(Sandbox(tmp_path / "box")))
        monkeypatch.setenv("COLLECTOR_HOSTS", json.dumps(box.hosts))
        monkeypatch.setenv("COLLECTOR_CA_FILE", str(box.ca_file))
        yield make
        do(stack.aclose())


@pytest.fixture
def know(redis_url: str) -> Callable[[str], None]:
    """Let the workers put a proxy out, and ozon ban it."""

    def put_out(name: str) -> None:
        asyncio.run(_put_out(redis_url, Proxy(name=name, group="egress", url="http://127.0.0.1:1")))

    return put_out


async def _put_out(redis_url: str, proxy: Proxy) -> None:
    async with _health(redis_url) as health:
        await health.fault(proxy, lasting=True)
        await health.ban(proxy, "ozon")
        await health.choose([proxy], account_id="1", marketplace="ozon")


@asynccontextmanager
async def _health(redis_url: str) -> AsyncIterator[Health]:
    async with Redis.from_url(redis_url) as redis:
        yield Health(redis, jitter=lambda: 1.0)


def add(collector: Collector, name: str, *words: str) -> Said:
    return collector("proxy", "add", name, "--group", "egress", "--url", "https://proxy.example:3128", *words)


def states(collector: Collector) -> str:
    said = collector("proxy", "list")
    assert said.code == 0, said.err
    return said.out


def test_a_proxy_that_was_added_is_listed(ready: Collector) -> None:
    assert add(ready, "one", "--max-accounts", "5").code == 0
    (row,) = ready("proxy", "list", "--json").json
    assert row == {
        "name": "one",
        "group": "egress",
        "url": "https://proxy.example:3128",
        "secret_ref": None,
        "status": "active",
        "max_accounts": 5,
        "egress": None,
        "accounts": 0,
        "faults": 0.0,
        "out_until": None,
        "banned": {},
    }
    assert re.search(r"one .* ok +0/5 +0", states(ready))


def test_a_proxy_that_cannot_be_is_refused_without_its_password(ready: Collector) -> None:
    def try_url(url: str) -> Said:
        said = ready("proxy", "add", "one", "--group", "egress", "--url", url)
        assert CANARY not in said.err
        return said

    refused(try_url("proxy.example:3128"), "must begin with http://")
    refused(try_url(f"https://user:{CANARY}@proxy.example:3128"), "put them into a secret")
    refused(try_url(f"https://proxy.example:{CANARY}"), "cannot be read")
    refused(add(ready, "one", "--max-accounts", "0"), "--max-accounts", code=2)
    assert ready("proxy", "list", "--json").json == []
    assert try_url("https://proxy.example:3128").code == 0
    refused(try_url("https://proxy.example:3129"), "say --replace")


def test_the_list_tells_what_the_workers_know_and_a_new_proxy_of_that_name_is_not_blamed(
    ready: Collector, know: Callable[[str], None]
) -> None:
    add(ready, "one")
    know("one")
    shown = states(ready)
    assert re.search(r"out until 2\d{3}-.*, banned at ozon until 2\d{3}-.* 1/20 ", shown)
    assert add(ready, "one", "--replace").code == 0
    assert re.search(r"one .* ok +1/20", states(ready))


def test_without_valkey_the_list_says_what_it_cannot_tell(ready: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    add(ready, "one")
    monkeypatch.setenv("COLLECTOR_REDIS_URL", "redis://127.0.0.1:1/0")
    said = ready("proxy", "list")
    assert said.code == 0
    assert "State, accounts and faults are not known: the proxies' health cannot be reached" in said.err
    assert re.search(r"one .* +/20", said.out)
    monkeypatch.delenv("COLLECTOR_REDIS_URL")
    assert ready("proxy", "list", "--json").json[0]["accounts"] is None
    assert add(ready, "two").code == 0


def test_a_test_shows_where_a_proxy_goes_out_and_whom_it_reaches(
    ready: Collector, start: StartTunnel, know: Callable[[str], None], database: Database
) -> None:
    start("one", password=CANARY)
    start("two", egress="127.0.0.3")
    know("one")
    said = ready("proxy", "test")
    assert (said.code, said.err) == (0, "")
    assert CANARY not in said.out
    assert re.search(r"name +group +egress +ms +wildberries +ozon +yandex_market", said.out)
    assert re.search(r"one +egress +127\.0\.0\.2 +\d+ +yes +yes +yes", said.out)
    rows = ready("proxy", "list", "--json").json
    assert [row["egress"] for row in rows] == ["127.0.0.2", "127.0.0.3"]
    assert [row["out_until"] for row in rows] == [None, None], "one that works is in again"
    changes = asyncio.run(_changes(database))
    assert ready("proxy", "test", "one").code == 0
    assert asyncio.run(_changes(database)) == changes, "the same address is not written again"


async def _changes(database: Database) -> int:
    async with database.connect("collector_admin") as admin:
        return int(await admin.fetchval("SELECT count(*) FROM core.audit"))


def test_a_test_warns_of_addresses_that_are_not_a_proxys_own(ready: Collector, start: StartTunnel) -> None:
    start("bare", egress="127.0.0.1")
    start("one")
    start("two")
    rows = {row["name"]: row for row in ready("proxy", "test", "--group", "egress", "--json").json}
    assert rows["bare"]["warnings"] == ["bare goes out by 127.0.0.1, which is this machine's own address"]
    shared = "goes out by 127.0.0.2, as {} does: they share its room for accounts"
    assert rows["one"]["warnings"] == [f"one {shared.format('two')}"]
    assert rows["two"]["warnings"] == [f"two {shared.format('one')}"]
    assert rows["one"]["works"]
    assert rows["one"]["marketplaces"] == {"wildberries": True, "ozon": True, "yandex_market": True}
    alone = ready("proxy", "test", "two")
    assert alone.code == 0
    assert alone.err == f"two {shared.format('one')}\n", "one that is not tested is known from before"


def test_a_proxy_that_fails_the_test_is_named_without_its_password(
    ready: Collector, start: StartTunnel, know: Callable[[str], None], tmp_path: Path
) -> None:
    start("good")
    start("locked", password="another")
    (tmp_path / "locked").write_text(json.dumps({"user": "ann", "password": CANARY}))
    start("lost", password=CANARY)
    (tmp_path / "lost").unlink()
    know("locked")
    said = ready("proxy", "test")
    assert said.code == 1
    *problems, verdict = said.err.splitlines()
    assert verdict == "collector: 2 of 3 proxies failed the test: locked, lost"
    assert problems[0] == ("locked: GET api.ipify.org/: ProxyError 407: proxy locked brought no connection")
    assert any(problem.startswith("lost: file:") for problem in problems)
    assert CANARY not in said.out + said.err
    assert re.search(r"good .* yes +yes +yes", said.out)
    assert re.search(r"locked +egress +no +no +no", said.out)
    assert re.search(r"locked .* out until", states(ready)), "not forgiven"
    rows = json.loads(ready("proxy", "test", "locked", "--json").out)
    assert [row["works"] for row in rows] == [False]


def test_an_egress_url_that_tells_no_address_is_pointed_out(
    ready: Collector, start: StartTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("one")
    monkeypatch.setenv("COLLECTOR_EGRESS_URL", "https://api-seller.ozon.ru/v1/where")
    said = ready("proxy", "test")
    assert said.code == 1
    assert "one: api-seller.ozon.ru answered 404 and no address: set COLLECTOR_EGRESS_URL to one that does" in said.err


def test_what_cannot_be_tested_is_refused(ready: Collector) -> None:
    refused(ready("proxy", "test"), "there is no such proxy to test")
    add(ready, "one")
    refused(ready("proxy", "test", "two"), "no proxy is called 'two'")
    refused(ready("proxy", "test", "--group", "other"), "there is no such proxy to test")


def test_the_last_proxy_of_a_group_with_accounts_is_not_removed_by_mistake(ready: Collector) -> None:
    ready("org", "add", "Sunrise")
    for name in ("one", "two"):
        add(ready, name)
    refused(ready("proxy", "remove", "three"), "no proxy is called 'three'")
    said = ready(
        "account", "add", "--org", "Sunrise", "--marketplace", "ozon", "--name", "a", "--external-id", "1",
        "--secret-ref", "env:A", "--proxy-group", "egress",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert ready("proxy", "remove", "one").out == "one is removed.\n"
    refused(
        ready("proxy", "remove", "two"), "two is the last proxy of the group 'egress'", "accounts use (1)", "--force"
    )
    assert [row["name"] for row in ready("proxy", "list", "--json").json] == ["two"]
    assert ready("proxy", "remove", "two", "--force").code == 0
    assert ready("proxy", "list", "--json").json == []
