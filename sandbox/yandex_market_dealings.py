"""What the methods of Yandex Market answer about returns, supplies, reviews, questions and quality."""

from collections.abc import Mapping
from datetime import timedelta

from sandbox.data_yandex_market_dealings import Dealings
from sandbox.marketplace import Stream, changed, created
from sandbox.records import MOSCOW, Book, Record, array, encode
from sandbox.wire import Call, Endpoint, Invalid, Refused, Reply, end_of, moscow_midnight, reply
from sandbox.yandex_market_listing import HOST, NAME, Listing

BUSINESS = "/v2/businesses/{businessId}"
CAMPAIGN = "/v2/campaigns/{campaignId}"
HALF_A_YEAR = timedelta(days=184)
MONTH = timedelta(days=31)
RATED = timedelta(days=30)


def dealing_endpoints(dealings: Dealings) -> tuple[Endpoint, ...]:
    methods = _Methods(dealings)
    returns = Listing(
        "returns",
        "GET",
        f"{CAMPAIGN}/returns",
        "returns",
        methods.returns,
        100,
        50,
        truncates=True,
        filters=("fromDate", "toDate"),
    )
    supplies = Listing("supply_requests", "POST", f"{CAMPAIGN}/supply-requests", "requests", methods.supplies, 100, 50)
    feedback = Listing("feedback", "POST", f"{BUSINESS}/goods-feedback", "feedbacks", methods.feedback, 50, 25)
    path = "/v1/businesses/{businessId}/goods-questions"
    questions = Listing("questions", "POST", path, "questions", methods.questions, 50, 25)
    return (
        returns.endpoint,
        supplies.endpoint,
        feedback.endpoint,
        Endpoint(NAME, "questions", "POST", HOST, path, lambda call: _counted(questions, call)),
        Endpoint(NAME, "quality", "POST", HOST, f"{BUSINESS}/ratings/quality", methods.quality),
    )


def dealing_streams(dealings: Dealings) -> Mapping[str, Stream]:
    return {
        "returns": Stream(lambda seller, now: list(dealings.returns.seen(seller, now)), changed),
        "supply_requests": Stream(lambda seller, now: list(dealings.supplies.seen(seller, now)), None),
        "feedback": Stream(lambda seller, now: list(dealings.feedback.seen(seller, now)), created),
        "questions": Stream(lambda seller, now: list(dealings.questions.seen(seller, now)), created),
        "quality": Stream(lambda seller, now: list(dealings.quality.seen(seller, now)), created),
    }


class _Methods:
    """What is let through by the filter of each method. Filters that are not played are refused."""

    def __init__(self, dealings: Dealings) -> None:
        self._dealings = dealings

    def returns(self, call: Call) -> list[Record]:
        start, end = moscow_midnight(call.query.day("fromDate")), end_of(call.query.day("toDate"))
        rows = _of_store(self._dealings.returns, call)
        return [row for row in rows if start <= row.changed < end]

    def supplies(self, call: Call) -> list[Record]:
        call.body.only("sorting")
        sorting = call.body.inner("sorting", required=True)
        sorting.only("direction", "attribute")
        sorting.choice("direction", ("ASC",))
        sorting.choice("attribute", ("ID",))
        return _of_store(self._dealings.supplies, call)

    def feedback(self, call: Call) -> list[Record]:
        """Neither end is included."""
        call.body.only("dateTimeFrom", "dateTimeTo")
        start, end = call.body.instant("dateTimeFrom"), call.body.instant("dateTimeTo")
        if not timedelta(0) <= end - start <= HALF_A_YEAR:
            raise Invalid("dateTimeFrom and dateTimeTo must be at most 6 months apart")
        return [row for row in self._dealings.feedback.seen(call.seller, call.now) if start < row.at < end]

    def questions(self, call: Call) -> list[Record]:
        call.body.only("dateFrom", "dateTo", "sort")
        first, last = call.body.day("dateFrom"), call.body.day("dateTo")
        if not timedelta(0) <= last - first <= MONTH:
            raise Invalid("dateFrom and dateTo must be at most 1 month apart")
        call.body.choice("sort", ("CREATED_AT_ASC",))
        start, end = moscow_midnight(first), end_of(last)
        return [row for row in self._dealings.questions.seen(call.seller, call.now) if start <= row.at < end]

    def quality(self, call: Call) -> Reply:
        call.query.only()
        call.body.only("dateFrom", "dateTo", "campaignIds")
        stores = [str(store) for store in call.body.items("campaignIds", int)]
        if not 1 <= len(stores) <= 50:
            raise Invalid("campaignIds: from 1 to 50 are required")
        first, last = call.body.day("dateFrom"), call.body.day("dateTo")
        today = call.now.astimezone(MOSCOW).date()
        if first < today - RATED or last > today or last < first:
            raise Invalid("dateFrom must not be earlier than 30 days ago, dateTo not later than today")
        for store in stores:
            if store not in self._dealings.campaign_ids(call.seller):
                error = {"code": "FORBIDDEN", "message": f"Access to campaign {store} denied"}
                raise Refused(reply({"status": "ERROR", "errors": [error]}, 403))
        start, end = moscow_midnight(first), end_of(last)
        marks = [row for row in self._dealings.quality.seen(call.seller, call.now) if start <= row.at < end]
        told = [
            b'{"campaignId":%b,"ratings":%b}' % (store.encode(), array(row for row in marks if row.slice == store))
            for store in stores
        ]
        return Reply(200, b'{"status":"OK","result":{"campaignRatings":[%b]}}' % b",".join(told), records=len(told))


def _of_store(book: Book, call: Call) -> list[Record]:
    return [row for row in book.seen(call.seller, call.now) if row.slice == call.path["campaignId"]]


def _counted(listing: Listing, call: Call) -> Reply:
    page, paging, total = listing.page(call)
    body = b'{"status":"OK","result":{"questions":%b,"paging":%b,"totalCount":%d}}' % (
        array(page),
        encode(paging),
        total,
    )
    return Reply(200, body, records=len(page))
