"""A worker of its own for test_large_bodies.py: collects one stream and says what that cost in memory.

    python -m tests.acceptance.large_bodies ORGANIZATION ACCOUNT STREAM

Its settings come from the environment. On standard output: the bytes between what the process had before, warmed up by
a small page, and the most that it has ever had.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import uvloop

from collectors.paging import get, post
from collectors.refusals import judge_status
from collectors.reports import Ready, report
from collectors.stream import Fetch, Mark, Marketplace, Page, Pages, Request, Secret, Snapshot, Stream, Walk
from worker import schedule
from worker.db.progress import AccountId, SliceKey
from worker.db.tenancy import OrganizationId
from worker.jobs import collect_slice
from worker.main import open_resources
from worker.settings import load

HOST = "large.example"


def sign(secret: Secret, _: Request) -> Mapping[str, str]:
    return {"Authorization": secret["token"]}


VENDOR = Marketplace(
    name="wildberries", hosts=frozenset({HOST}), sign=sign, judge=judge_status, file_hosts=("large.example",)
)


def one_page(path: str) -> Pages:
    async def pages(fetch: Fetch, _: Walk) -> AsyncGenerator[Page | Mark, None]:
        answer = await fetch(Request(method="GET", host=HOST, path=path))
        yield Page(answer=answer, records=1, cursor={}, last=True)

    return pages


FILE = report(
    post(HOST, "/create", lambda _, __: {}, repeatable=False),
    report_id="id",
    poll=get(HOST, lambda _, __: "/state", lambda _, __: {}),
    state=lambda _: Ready(Request(method="GET", host=HOST, path="/file.csv", signed=False)),
)


def stream_of(name: str, pages: Pages) -> Stream:
    return Stream(
        marketplace=VENDOR,
        name=name,
        about=name,
        progress=Snapshot(),
        pages=pages,
        buckets=(),
        every=timedelta(hours=1),
    )


STREAMS = {
    name: stream_of(name, FILE if name == "file" else one_page(f"/{name}"))
    for name in ("small", "bomb", "plain", "packed", "file")
}


def memory(name: str) -> int:
    """Return one of the figures that the system keeps of this process, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(f"{name}:"))


async def collect(organization: str, account: str, stream: str) -> int:
    def key(name: str) -> SliceKey:
        return SliceKey(
            organization_id=OrganizationId(UUID(organization)),
            account_id=AccountId(UUID(account)),
            marketplace="wildberries",
            stream=name,
        )

    async with open_resources(load(), streams={"wildberries": STREAMS}) as resources:
        await schedule.reconcile(resources)
        await collect_slice(resources, key("small"), stopping=lambda: False)
        before = memory("VmRSS")
        await collect_slice(resources, key(stream), stopping=lambda: False)
        return memory("VmHWM") - before


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(runner.run(collect(*sys.argv[1:])))  # noqa: T201 - its answer
