"""From a marketplace's pages to rows in PostgreSQL: the collector beside dlt and Singer, and beside its own halves.

`python -m benchmarks.end_to_end [--json] [--rounds N] [--server pglz|lz4]`. All read the same pages of the same server,
packed and not, and write to the same PostgreSQL: the embedded one, which has pglz only, and one with lz4, which is what
we recommend and every distribution has. What arrived is counted and added up. The collector is a worker that is started
when the requests are written down and enqueued; the clock stops when it has done them. It has two processes, one for
each core, as docs/operate.md says and as the others have them; beside its halves, which are in one process, it has one.

The others get fewer pages, so rates are compared: of everything but start-up, which is what a run of one page of each
seller takes, in the median of the same rounds. Figures "with start-up" are of as many pages as the collector gets, at
the rate that was measured.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import uvloop

from benchmarks import peers
from benchmarks.collecting import Collector, collecting
from benchmarks.contest import AGAIN, Contestant, Outcome, contest, machine
from benchmarks.figures import Figure, show
from benchmarks.ground import Ground, make_ground
from benchmarks.lz4 import make_lz4_ground
from benchmarks.server import RECORDS, SELLERS, Site, serving
from worker.memory import look_for_garbage_less_often, memory_given_back

ROUNDS = 5
PAGES = 60  # of each seller, for the collector and its halves
PEERS_PAGES = 7  # of each seller, for the others
OURS, FETCH, WRITE = "collector", "fetch only", "write only"
ALONE = f"{OURS}, one process"
_ONE_PAGE = ", one page"  # of each seller: what start-up takes
_AS_FAST_AS_PEERS = 10.0
_AS_FAST_AS_HALVES = 0.7
_PEERS_DATABASE = "peers"
_NUMBERS = count(1)


@dataclass(frozen=True)
class Bench:
    """Who takes part, and where: everybody's pages come packed, or nobody's do."""

    site: Site
    ours: Collector
    peers_database: str  # its URL
    packed: bool

    async def _timed(self, name: str, pages: int, doing: Awaitable[None]) -> None:
        """Say how far we are, for it takes minutes."""
        began = time.perf_counter()
        await doing
        packed = "gzip" if self.packed else "as it is"
        sys.stderr.write(f"{packed}, {SELLERS} × {pages} pages: {name} {time.perf_counter() - began:.1f} s\n")

    @property
    def others(self) -> Sequence[peers.Peer]:
        """Return who takes part. Packing hardly matters to them, so those that keep pages are measured once."""
        return peers.PEERS if self.packed else [peer for peer in peers.PEERS if not peer.raw]

    def all(self) -> list[Contestant[Any]]:
        """Return each with its pages, and with one."""
        field = [self._ours(OURS, PAGES, processes=2)]
        for peer in self.others:
            field += [self._peer(peer.name, peer, PEERS_PAGES), self._peer(peer.name + _ONE_PAGE, peer, 1)]
        field += [self._ours(OURS + _ONE_PAGE, 1, processes=2), self._ours(ALONE + _ONE_PAGE, 1, processes=1)]
        return [*field, *self._halves(PAGES), self._ours(ALONE, PAGES, processes=1)]

    def _halves(self, pages: int) -> list[Contestant[Any]]:
        """Return the collector's halves, each alone: the whole can hardly be faster than the slower of them."""
        url = self.site.url(packed=self.packed, pages=pages)

        async def nothing() -> None: ...

        async def fetch(_: object) -> None:
            # What is fetched is dropped as the collector drops it; `_written` looks at what comes of it.
            await self.ours.fetch(url)

        async def prepare_write() -> object:
            return await self.ours.leases(), await self.ours.fetch(url)

        async def write(work: object) -> None:
            assert isinstance(work, tuple)
            await self.ours.keep(*work)

        async def check(_: object) -> None:
            self._expect(await self.ours.found(), pages)

        async def unchecked(_: object) -> None: ...

        return [Contestant(FETCH, nothing, fetch, unchecked), Contestant(WRITE, prepare_write, write, check)]

    def _ours(self, name: str, pages: int, *, processes: int) -> Contestant[Any]:
        url = self.site.url(packed=self.packed, pages=pages)

        async def work(_: object) -> None:
            await self._timed(name, pages, self.ours.work(url, processes=processes))

        async def check(_: object) -> None:
            await self.ours.dismiss()
            self._expect(await self.ours.found(), pages)

        return Contestant(name, self.ours.ask, work, check)

    def _peer(self, name: str, peer: peers.Peer, pages: int) -> Contestant[Any]:
        url = self.site.url(packed=self.packed, pages=pages, tls=False)

        async def prepare() -> peers.Task:
            schema = f"run{next(_NUMBERS)}"
            home = self.site.home / schema
            home.mkdir()
            return peers.Task(
                url=url, sellers=self.site.sellers, database=self.peers_database, schema=schema, home=home
            )

        async def work(task: object) -> None:
            assert isinstance(task, peers.Task)
            await self._timed(name, pages, peer.run(task))

        async def check(task: object) -> None:
            assert isinstance(task, peers.Task)
            shutil.rmtree(task.home)
            admin = await asyncpg.connect(self.peers_database)
            found = await admin.fetchrow(peer.found.format(schema=task.schema))
            assert found is not None
            await admin.execute(f"DROP SCHEMA {task.schema} CASCADE")
            await admin.close()
            self._expect((found[0], int(found[1])), pages)

        return Contestant(name, prepare, work, check)

    def _expect(self, found: tuple[int, int], pages: int) -> None:
        expected = pages * SELLERS * RECORDS, self.site.amount(pages)
        assert found == expected, f"{found} arrived instead of {expected} (records and their sum)"


@dataclass(frozen=True)
class Rates:
    """Records a second without start-up, of each contestant in each round."""

    outcome: Outcome

    def of(self, name: str) -> list[float]:
        if name in (FETCH, WRITE):
            return [PAGES * SELLERS * RECORDS / took for took in self.outcome.seconds[name]]
        pages = PAGES if name.startswith(OURS) else PEERS_PAGES
        start = self._start(name.removesuffix(AGAIN))
        return [(pages - 1) * SELLERS * RECORDS / (took - start) for took in self.outcome.seconds[name]]

    def starts(self, name: str) -> Sequence[float]:
        """Return the seconds of its runs of one page."""
        return self.outcome.seconds[name + _ONE_PAGE]

    def _start(self, name: str) -> float:
        return statistics.median(self.starts(name))

    def ratio(self, name: str) -> list[float]:
        """Return how many times as fast as this one the collector was."""
        return [own / other for own, other in zip(self.of(OURS), self.of(name), strict=True)]

    def ratio_with_start(self, name: str) -> list[float]:
        """Return the same of all the pages that the collector got, start-up included."""
        rest = (PAGES - 1) * SELLERS * RECORDS
        return [
            (self._start(name) + rest / other) / own
            for own, other in zip(self.outcome.seconds[OURS], self.of(name), strict=True)
        ]


def figures(rates: Rates, of: str, beside: Sequence[peers.Peer]) -> Iterator[Figure]:
    ours = rates.of(OURS)
    yield Figure(name=f"{of}: {OURS}", unit="records/s", rounds=ours)
    yield Figure(name=f"{of}: as fast as {OURS + AGAIN}", unit="×", rounds=rates.ratio(OURS + AGAIN))
    for peer in beside:
        yield Figure(
            name=f"{of}: as fast as {peer.name}", unit="×", rounds=rates.ratio(peer.name), at_least=_AS_FAST_AS_PEERS
        )
        with_start = rates.ratio_with_start(peer.name)
        yield Figure(name=f"{of}: as fast as {peer.name}, with start-up", unit="×", rounds=with_start)
        yield Figure(name=f"{of}: {peer.name}", unit="records/s", rounds=rates.of(peer.name))
    for name in (OURS, ALONE, *(peer.name for peer in beside)):
        yield Figure(name=f"{of}: start-up and one page of {name}", unit="s", rounds=rates.starts(name))
    yield Figure(name=f"{of}: {ALONE}", unit="records/s", rounds=rates.of(ALONE))
    halves = zip(rates.of(ALONE), rates.of(FETCH), rates.of(WRITE), strict=True)
    yield Figure(
        name=f"{of}: {ALONE}, as fast as the slower half alone",
        unit="×",
        rounds=[own / min(fetch, write) for own, fetch, write in halves],
        at_least=_AS_FAST_AS_HALVES,
    )
    for half in (FETCH, WRITE):
        yield Figure(name=f"{of}: {half}", unit="records/s", rounds=rates.of(half))


async def measure(ground: Ground, site: Site, server: str, *, rounds: int) -> list[Figure]:
    database = urlsplit(ground.servers.url("postgres"))._replace(path=f"/{_PEERS_DATABASE}").geturl()
    found: list[Figure] = []
    async with memory_given_back(), collecting(ground, site) as ours:  # as a worker does
        await ours.admin.execute(f"CREATE DATABASE {_PEERS_DATABASE}")
        benches = {
            "gzip": Bench(site, ours, database, packed=True),
            "as it is": Bench(site, ours, database, packed=False),
        }
        for of, bench in benches.items():
            rates = Rates(await contest(bench.all(), rounds=rounds))
            found += figures(rates, f"{server}, {of}", bench.others)
    return found


def main() -> int:
    servers = {"pglz": make_ground, "lz4": make_lz4_ground}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="that count; one more warms up")
    parser.add_argument("--server", choices=servers, action="append", help="only this one")
    options = parser.parse_args()
    look_for_garbage_less_often()  # as a worker does
    peers.prepare()
    found = []
    for server in options.server or servers:
        home = Path(tempfile.mkdtemp(prefix="collector-benchmark-pages-"))
        try:
            with servers[server]() as ground, serving(home, pages=PAGES) as site:
                sys.stderr.write(f"{machine()}; {server}; pages from {site.program}\n")
                found += uvloop.run(measure(ground, site, server, rounds=options.rounds))
        finally:
            shutil.rmtree(home)
    show(found, as_json=options.json)
    return 0 if all(figure.met for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
