"""THE LOOP. Start reading here.

A page is kept whole or not at all, and the position says exactly what is kept: payloads, walk, coverage and position
are one transaction, which only the holder of the lease can commit from the position that it saw. So a job may die
anywhere and run again: nothing is lost, nothing is doubled. One batch is written while the next is fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import aclosing

from collectors.errors import AskLess, CollectError, Later, Unacceptable
from collectors.stream import Stream, Window
from worker.db.progress import Lease
from worker.http.fetch import AccountFetch
from worker.keeping import Keeping, Tally
from worker.resources import Resources
from worker.walks import windows_to_read


async def collect(
    resources: Resources,
    lease: Lease,
    *,
    stream: Stream,
    seller: str,
    fetch: AccountFetch,
    tally: Tally,
    enough: Callable[[], bool],
) -> None:
    """Bring one slice of a stream up to date, adding to `tally` what was kept.

    `enough` is asked at every page's end: a deadline, or a worker that is told to stop. Raises what ended the run
    early, as `collectors.errors` names it, after keeping the pages before it; LeaseLost keeps nothing more.
    """
    windows = deque(await windows_to_read(resources.sessions, lease, stream, resources.clock.now()))
    async with aclosing(Keeping(resources, lease, stream, tally)) as keeping:
        while windows:
            window = windows.popleft()
            try:
                ended = await walk(keeping, window, seller, fetch, enough)
            except (AskLess, Later) as error:
                windows.extendleft(reversed(keeping.ask_less(window, error)))
                continue
            except Unacceptable as error:
                if not keeping.can_leave(window, error):
                    raise
                ended = True  # its walk stays incomplete: one bad answer does not stop its neighbours
            if enough():
                tally.finished = ended and not windows
                break
        else:
            tally.finished = True
        keeping.raise_refused()


async def walk(
    keeping: Keeping, window: Window | None, seller: str, fetch: AccountFetch, enough: Callable[[], bool]
) -> bool:
    """Make one walk, or go on with the one under way, until its last page or until it is enough; tell which."""
    await keeping.open(window)
    ended = False
    try:
        async with aclosing(keeping.stream.pages(fetch, keeping.asked(seller))) as steps:
            async for step in steps:
                ended = keeping.add(step)
                if keeping.is_due or fetch.is_waited_for:
                    await keeping.commit(fetch.hand_over)
                del step  # its body: the next page comes while this one would still be in memory
                if enough():
                    break
    except CollectError:
        await keeping.finish(fetch.hand_over)  # what came before it is good
        raise
    await keeping.finish(fetch.hand_over)
    return ended
