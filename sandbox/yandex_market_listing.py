"""How the methods of Yandex Market list what they have, page by page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from sandbox.records import Record, array, encode
from sandbox.wire import Call, Endpoint, Invalid, Reply, seal, unseal

NAME = "yandex_market"
HOST = "api.partner.market.yandex.ru"


@dataclass(frozen=True)
class Listing:
    """A method that lists records in `result`.

    `most` and `usual` are its page sizes, None where it gives all at once; beyond the largest it refuses unless it
    `truncates`. `rows` reads the filter and returns the records that it lets through.
    """

    stream: str
    method: str
    path: str
    name: str
    rows: Callable[[Call], list[Record]]
    most: int | None = None
    usual: int | None = None
    truncates: bool = False
    filters: tuple[str, ...] = ()  # parameters of the query

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(NAME, self.stream, self.method, HOST, self.path, partial(_answer, self))

    def page(self, call: Call) -> tuple[list[Record], dict[str, str], int]:
        """The page that is asked for, its paging object, and how many records there are in all."""
        call.query.only(*self.filters, *(("pageToken", "limit") if self.most else ()))
        rows = self.rows(call)
        if self.most is None:
            return rows, {}, len(rows)
        high = 2**31 - 1 if self.truncates else self.most
        limit = min(call.query.integer("limit", low=1, high=high, default=self.usual), self.most)
        return *cut(rows, call, call.page_size(limit)), len(rows)


def _answer(listing: Listing, call: Call) -> Reply:
    page, paging, _ = listing.page(call)
    beside = b"" if listing.most is None else b',"paging":%b' % encode(paging)
    body = b'{"status":"OK","result":{"%b":%b%b}}' % (listing.name.encode(), array(page), beside)
    return Reply(200, body, records=len(page))


def cut(rows: list[Record], call: Call, limit: int) -> tuple[list[Record], dict[str, str]]:
    """The page after the call's token, and the paging object; a token is good only with the filter it was given for."""
    asked = {name: value for name, value in call.query.values.items() if name not in {"pageToken", "limit"}}
    selection = sha256(encode([sorted(call.path.items()), call.body.values, asked])).hexdigest()[:12]
    rows.sort(key=lambda row: row.life.order)
    token = call.query.text("pageToken", "")
    if token:
        match unseal(token):
            case [str(given), int(after)] if given == selection:
                rows = [row for row in rows if row.life.order > after]
            case _:
                raise Invalid("pageToken belongs to another request")
    page = rows[:limit]
    if len(rows) <= limit:
        return page, {}
    return page, {"nextPageToken": seal([selection, page[-1].life.order])}
