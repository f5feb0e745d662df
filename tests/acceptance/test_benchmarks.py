"""The benchmarks run, in their smallest configuration, and tell whether the work was done. Nothing is timed here."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks import write_path
from benchmarks.compare import differences
from benchmarks.ground import Ground
from benchmarks.results import Measured, Results, read, write
from benchmarks.writing import bench
from tests.servers import Database


@pytest.fixture
def ground(database: Database, redis_url: str) -> Ground:
    return Ground(dataclasses.replace(database.servers, database=database.name, redis_url=redis_url))


async def test_every_way_to_write_brings_every_page(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_path, "SIZES", {"5 KB": 5_000, "50 KB": 50_000})
    figures = await write_path.measure(ground, "pglz", rounds=1, total=100_000, accounts=3, each=2)
    assert {figure.name for figure in figures if figure.goal} == {
        "pglz, 5 KB: worker / COPY by the owner",
        "pglz, 5 KB: worker / add_all, documents",
        "pglz, 50 KB: worker / COPY by the owner",
        "pglz, 5 KB: 3 accounts, a page a transaction",
    }


async def test_a_contestant_that_loses_a_page_is_found_out(ground: Ground) -> None:
    async with bench(ground) as on:
        for one in write_path.contestants(on, 5_000, 15_000):
            work = await one.prepare()
            with pytest.raises(AssertionError, match="0 rows of 3"):
                await one.check(work)


def test_a_difference_within_the_spread_is_none(tmp_path: Path) -> None:
    def of(*rounds: float) -> Results:
        return Results("c", "m", "t", {"write_path": [Measured("speed", "×", rounds[1], [*rounds], "≥ 0.85", True)]})

    write(of(1.0, 1.1, 1.2), tmp_path / "old.json")
    old = read(tmp_path / "old.json")
    assert [differs for *_, differs in differences(old, of(1.15, 1.2, 1.3))] == [False]
    assert [differs for *_, differs in differences(old, of(1.3, 1.4, 1.5))] == [True]
    assert next(one for _, one in old.figures()).figure.at_least == 0.85
