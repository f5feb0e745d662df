"""What a run does with its pages, without the fetching."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from collectors.stream import Page, Stream
from worker.db.progress import Lease
from worker.http.body import ByteBudget
from worker.keeping import Keeping, Tally
from worker.resources import Resources


async def keep_pages(
    resources: Resources, lease: Lease, stream: Stream, pages: Sequence[Page], *, each: bool = False
) -> None:
    """Keep a walk's pages, which were fetched before; `each` of them in a transaction of its own."""
    hold = ByteBudget().hold
    async with aclosing(Keeping(resources, lease, stream, Tally(without_keys=lambda answer: answer))) as keeping:
        await keeping.open(None)
        for page in pages:
            await asyncio.sleep(0)  # it comes over the network: meanwhile others go on
            keeping.add(page)
            if each or keeping.is_due:
                await keeping.commit(hold)
        await keeping.finish(hold)
