"""Streams of Wildberries that are reports made by a task: create, ask for its status, download a JSON file."""

from __future__ import annotations

from datetime import timedelta

from collectors.envelope import Envelope
from collectors.errors import Malformed
from collectors.paging import Part, get
from collectors.reports import Failed, Ready, State, Working, report
from collectors.stream import Answer, Bucket, Pages, Request, Snapshot, Stream, Windows
from collectors.wildberries.api import ANALYTICS, WILDBERRIES, limit
from collectors.wildberries.times import moscow_days
from collectors.windows import MOSCOW, days, hours, minutes, seconds

_STATUS = Envelope(status=("data.status", str))


def by_task(name: str, query: Part, *, base: timedelta, status_burst: int = 5) -> Pages:
    """Make a report by a task of that name. A base token may ask for its status, and for its file, once per `base`.

    Creating is a GET that makes another task each time. A result is kept for about two hours.
    """
    path = f"/api/v1/{name}"
    file_limit = limit(f"{name}_download", every=minutes(1), burst=1, base=base)
    return report(
        get(ANALYTICS, path, query, repeatable=False),
        report_id="data.taskId",
        poll=get(
            ANALYTICS,
            lambda _, at: f"{path}/tasks/{at['report']}/status",
            lambda _, __: {},
            buckets=(limit(f"{name}_status", every=seconds(5), burst=status_burst, base=base),),
        ),
        state=lambda answer: _state(answer, file_limit),
    )


def _state(answer: Answer, file_limit: Bucket) -> State:
    match _STATUS.read(answer)["status"]:
        case "new" | "processing":
            return Working(seconds(10))
        case "done":
            path = answer.request.path.removesuffix("/status") + "/download"
            return Ready(Request(method="GET", host=ANALYTICS, path=path, buckets=(file_limit,)))
        case "purged" | "canceled" as status:
            return Failed(status)
        case status:
            raise Malformed(f"a task's status that we do not know: {status!r}", answer)


WAREHOUSE_REMAINS = Stream(
    marketplace=WILDBERRIES,
    name="warehouse_remains",
    about="stock by barcode and warehouse, a JSON file",
    docs="https://dev.wildberries.ru/openapi/reports#tag/warehousesInventoryReport",
    progress=Snapshot(),
    paging="report: create, poll, download",
    pages=by_task(
        "warehouse_remains",
        lambda _, __: {
            "groupByBrand": "true",
            "groupBySubject": "true",
            "groupBySa": "true",
            "groupByNm": "true",
            "groupByBarcode": "true",
            "groupBySize": "true",
        },
        base=minutes(15),
    ),
    buckets=(limit("warehouse_remains", every=minutes(1), burst=5, base=minutes(15)),),
    every=hours(12),
    needs="analytics",
    priority=2,
)

PAID_STORAGE = Stream(
    marketplace=WILDBERRIES,
    name="paid_storage",
    about="what storage cost, by day, goods and warehouse, a JSON file",
    docs="https://dev.wildberries.ru/openapi/reports#tag/paidStorage",
    progress=Windows(
        longest=days(7),  # 8 days may be asked for at once
        grain=days(1),
        zone=MOSCOW,
        since=days(28),
        lag=hours(12),
        restated=((days(7), days(1)),),
    ),
    paging="report: create, poll, download",
    pages=by_task("paid_storage", moscow_days, base=minutes(30)),
    buckets=(limit("paid_storage", every=minutes(1), burst=5, base=hours(1)),),
    every=hours(12),
    needs="analytics",
    priority=2,
)

ACCEPTANCE = Stream(
    marketplace=WILDBERRIES,
    name="acceptance",
    about="what acceptance cost, a JSON file",
    docs="https://dev.wildberries.ru/openapi/reports#tag/acceptanceExpenses",
    progress=Windows(
        longest=days(28),  # 31 days may be asked for at once
        grain=days(1),
        zone=MOSCOW,
        since=days(56),
        lag=hours(12),
        restated=((days(28), days(1)),),
    ),
    paging="report: create, poll, download",
    pages=by_task("acceptance_report", moscow_days, base=minutes(30), status_burst=1),
    buckets=(limit("acceptance", every=minutes(1), burst=1, base=hours(3)),),
    every=days(1),
    needs="analytics",
    priority=3,
)
