"""The main job: what the sandbox holds is in raw.page, byte for byte, for its tenant alone."""

import asyncio

from tests.stage import Stage, every_stream, run_all

MARKETPLACES = ("wildberries", "ozon", "yandex_market")


async def test_every_stream_is_brought_whole_and_every_stored_body_was_served(stage: Stage) -> None:
    organization = await stage.add_organization("Sunrise")
    accounts = [await stage.add_account(organization, marketplace) for marketplace in MARKETPLACES]
    async with stage.resources() as resources:
        for account in accounts:
            for stream in every_stream(account.marketplace):
                for _ in range(8):
                    await run_all(resources, account, stream)
                    left = await stage.rows("select outcome,error from collect.run where stream=$1 order by started_at desc limit 1", stream)
                    if "report" not in (left[0][1] or ""): break
                    await asyncio.sleep(1)
    for r in await stage.rows("select marketplace, stream, slice, lane, outcome, error, pages, records, requests, bytes, finished_at-started_at from collect.run order by started_at"): print(tuple(r))
    for r in await stage.rows("select marketplace, stream, slice, state, next_due_at, not_before, attempts,last_error from collect.stream_state"): print(tuple(r))
    served={s["sha256"] for s in stage.box.served()}
    stored=await stage.rows("select encode(sha256,'hex') from raw.page")
    print(len(stored), len(served), all(r[0] in served for r in stored))
