"""Waiting is free: who is told to wait is written down, and whoever is not goes on at full speed."""

from __future__ import annotations

from datetime import timedelta

from sandbox.ledger import Failure
from tests.acceptance.test_survival import until, worker
from tests.stage import FEW, Stage

_PLACES = 4
_WAITING = 20
_OTHERS = 5


async def test_twenty_accounts_told_to_wait_ten_minutes_hold_up_none_of_five_others(stage: Stage) -> None:
    """With four places in the worker: had a wait held one, nothing would move for ten minutes."""
    organization = await stage.add_organization("Sunrise")
    for number in range(1, _WAITING + 1):
        await stage.add_account(organization, "ozon", number=number)
    for number in range(1, _OTHERS + 1):
        await stage.add_account(organization, "wildberries", number=number)
    await stage.collect_few()
    for stream in FEW["ozon"]:
        stage.box.ledger.plan(Failure("ozon", stream, 100_000, 429, retry=600))

    async def others_are_done() -> bool:
        return bool(
            await stage.value(
                "SELECT count(*) >= $1 AND bool_and(last_success_at IS NOT NULL) FROM collect.stream_state s"
                " JOIN core.marketplace_account a ON a.id = s.marketplace_account_id"
                " WHERE a.marketplace = 'wildberries' AND s.state = 'active'",
                _OTHERS * 7,
            )
        )

    async with worker(stage, COLLECTOR_MAX_JOBS=str(_PLACES)) as process:
        await until(others_are_done, process=process)
    waits = await stage.rows(
        "SELECT outcome, finished_at - started_at AS held FROM collect.run WHERE marketplace = 'ozon'"
    )
    assert {run["outcome"] for run in waits} == {"put off"}
    assert max(run["held"] for run in waits) < timedelta(seconds=2.5), "a place was held by a wait"
    again = await stage.value(
        "SELECT count(*) FROM (SELECT FROM collect.run WHERE marketplace = 'ozon'"
        " GROUP BY marketplace_account_id, stream, slice HAVING count(*) > 2) s"
    )
    assert again == 0, "who was told to wait ten minutes was run again at once"
