"""The byte budget bounds what a process holds and never stands still."""

import asyncio
import gzip
import os
import random

from tests.unit.http.bodies import answer, costing_less_than, wire
from worker.http.body import DECODED_CAP, ByteBudget, read_body
from worker.http.spool import PART


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_fifty_bodies_at_once_stay_within_the_budget_and_one_body() -> None:
    budget = ByteBudget(limit=1000)
    chance = random.Random(7)  # noqa: S311 - the same each time
    highest = 0

    async def run() -> None:
        nonlocal highest
        hold = budget.hold()
        for _ in range(chance.randint(1, 3)):  # several pages before a commit
            for _ in range(chance.randint(1, 10)):
                await hold.grow(chance.randint(1, 30))
                highest = max(highest, budget.used)
                await asyncio.sleep(0)
        hold.release()

    async with asyncio.timeout(20):
        await asyncio.gather(*(run() for _ in range(50)))
    assert budget.used == 0
    assert 1000 < highest <= 1000 + 3 * 10 * 30, "it was used up, and one run overdrew it"


async def test_fifty_real_bodies_at_once_cost_no_more_than_the_budget_and_what_passes_through() -> None:
    """Pages of memory, pages that go over the disk, and files that stay there; each run keeps its own for a while."""
    budget = ByteBudget(limit=4 * PART)
    packed = gzip.compress(os.urandom(2**14) + bytes(2**20 - 2**14), 1)
    sizes = [(2**20, False)] * 40 + [(2 * PART, False)] * 5 + [(DECODED_CAP + 2**20, True)] * 5
    highest = 0

    async def run(size: int, file: bool) -> None:
        nonlocal highest
        hold, headers = budget.hold(), answer(file=file, content_encoding="gzip")
        read = await read_body(wire(packed * (size // 2**20), 65536), headers, hold)
        assert read.size == size
        highest = max(highest, budget.used)
        await asyncio.sleep(0)
        hold.release()

    with costing_less_than(budget.limit + 4 * PART):
        async with asyncio.timeout(20):
            await asyncio.gather(*(run(size, file) for size, file in sizes))
    assert budget.used == 0
    assert 3 * PART < highest <= budget.limit + 2 * PART, "it was used up, and one run overdrew it"


async def test_one_body_larger_than_the_budget_comes_through_alone() -> None:
    budget = ByteBudget(limit=100)
    large, other = budget.hold(), budget.hold()
    await large.grow(90)
    await large.grow(500)
    waiting = asyncio.create_task(other.grow(10))
    await settle()
    assert not waiting.done()
    large.release()
    await waiting
    assert budget.used == 10


async def test_the_oldest_waits_the_shortest() -> None:
    budget = ByteBudget(limit=100)
    full, drawn, *waiters = (budget.hold() for _ in range(5))
    await full.grow(100)
    await drawn.grow(1)
    order: list[int] = []

    async def wait(number: int) -> None:
        await waiters[number].grow(60)
        order.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(3)]
    await settle()
    assert order == []
    drawn.release()
    await settle()
    assert order == [0]
    full.release()
    await settle()
    assert order == [0, 1], "the second overdraws, the third waits for it"
    waiters[0].release()
    waiters[1].release()
    await asyncio.gather(*tasks)
    assert budget.used == 60


async def test_who_is_cancelled_while_waiting_takes_nothing() -> None:
    budget = ByteBudget(limit=100)
    full, drawn, gone = budget.hold(), budget.hold(), budget.hold()
    await full.grow(100)
    await drawn.grow(1)
    waiting = asyncio.create_task(gone.grow(50))
    await settle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    full.release()
    drawn.release()
    gone.release()
    assert budget.used == 0
