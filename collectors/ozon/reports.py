"""Reports that Ozon makes on demand: created by a method each, told of by one, fetched by a link."""

from __future__ import annotations

from collectors.envelope import Envelope
from collectors.errors import Malformed
from collectors.ozon.api import OZON, SELLER
from collectors.ozon.times import day, last_day
from collectors.paging import Part, post
from collectors.reports import Failed, Ready, State, Working, link_to, report
from collectors.stream import Answer, Bucket, Pages, Rate, Snapshot, Stream, Windows
from collectors.windows import days, hours, minutes, seconds

_INFO = Envelope(status=("result.status", str), error=("result.error", str | None), file=("result.file", str | None))


def report_state(answer: Answer) -> State:
    """Read what `report/info` says of a report."""
    read = _INFO.read(answer)
    match read["status"]:
        case "waiting" | "processing":
            return Working(seconds(10))
        case "failed":
            return Failed(str(read["error"] or "no reason given"))
        case "success" if read["file"]:
            return Ready(link_to(str(read["file"]), answer))
    raise Malformed(f"a report's state that we do not know: {read.values}", answer)


def made_by(path: str, body: Part, *, report_id: str = "code") -> Pages:
    return report(
        post(SELLER, path, body, repeatable=False),
        report_id=report_id,
        poll=post(SELLER, "/v1/report/info", lambda _, at: {"code": at["report"]}, buckets=()),
        state=report_state,
    )


PRODUCTS_REPORT = Stream(
    marketplace=OZON,
    name="products_report",
    about="all products with their prices, stocks and states, a CSV",
    docs="https://docs.ozon.ru/api/seller/#operation/ReportAPI_CreateCompanyProductsReport",
    progress=Snapshot(),
    paging="report: create, poll, download",
    pages=made_by(
        "/v1/report/products/create",
        lambda _, __: {"language": "DEFAULT", "visibility": "ALL"},
        report_id="result.code",
    ),
    buckets=(),
    every=days(1),
    walk_max_age=days(1),
    priority=2,
)

DISCOUNTED_REPORT = Stream(
    marketplace=OZON,
    name="discounted_report",
    about="products that Ozon has marked down",
    docs="https://docs.ozon.ru/api/seller/#operation/ReportAPI_CreateDiscountedReport",
    progress=Snapshot(),
    paging="report: create, poll, download",
    pages=made_by("/v1/report/discounted/create", lambda _, __: {}),
    buckets=(Bucket(name="discounted_report", rate=Rate(minutes(1))),),
    every=days(1),
    walk_max_age=days(1),
    priority=2,
)


def _placement(by: str, about: str, operation: str) -> Stream:
    return Stream(
        marketplace=OZON,
        name=f"placement_by_{by}",
        about=about,
        docs=f"https://docs.ozon.ru/api/seller/#operation/{operation}",
        progress=Windows(
            longest="month",  # 31 days, as the API has it
            grain=days(1),
            since=days(60),
            lag=hours(6),
            restated=((days(7), days(1)), (days(31), days(14))),
        ),
        paging="report: create, poll, download",
        pages=made_by(
            f"/v1/report/placement/by-{by}/create",
            lambda walk, _: {"date_from": day(walk.span.start), "date_to": last_day(walk.span.end)},  # inclusive
        ),
        # Five a day, whenever the vendor's day begins: no 24 hours have more than 2 + 3.
        buckets=(Bucket(name=f"placement_by_{by}", rate=Rate(days(1) / 3, burst=2)),),
        every=days(1),
        walk_max_age=days(1),
        priority=2,
    )


PLACEMENT_BY_PRODUCTS = _placement(
    "products", "what the storage of each product at Ozon costs", "CreatePlacementByProductsReport"
)
PLACEMENT_BY_SUPPLIES = _placement(
    "supplies", "what the storage of each supply at Ozon costs", "CreatePlacementBySuppliesReport"
)
