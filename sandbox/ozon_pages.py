"""How Ozon's methods cut their answers: pages by cursor, by last id and by offset, and whole lists."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox.records import Book, Record, array, encode, zulu
from sandbox.wire import Call, Fields, Invalid, Reply, seal, unseal

LONGEST_PERIOD = timedelta(days=366)


@dataclass(frozen=True)
class Page:
    rows: Sequence[Record]
    following: str  # "" when there was no row
    more: bool


def cut(rows: Iterable[Record], cursor: str, limit: int, *, pin: str = "", descending: bool = False) -> Page:
    """The page behind `cursor`, which is good for what it is pinned to only (a filter)."""
    ordered = sorted(rows, key=_place, reverse=descending)
    if cursor:
        after = _read(cursor, pin)
        ordered = [row for row in ordered if (_place(row) < after if descending else _place(row) > after)]
    page = ordered[:limit]
    following = seal([pin, zulu(page[-1].at), page[-1].life.order]) if page else ""
    return Page(page, following, len(ordered) > limit)


def page_of(rows: str, page: Page, cursor: str) -> Reply:
    """An answer that says whether there is more."""
    body = b'{"%b":%b,"has_next":%b,"%b":%b}' % (
        cursor.encode(),
        encode(page.following),
        b"true" if page.more else b"false",
        rows.encode(),
        array(page.rows),
    )
    return Reply(200, body, records=len(page.rows))


def whole(book: Book, name: str, call: Call) -> Reply:
    """A list that is not cut."""
    call.body.only()
    rows = list(book.seen(call.seller, call.now))
    return Reply(200, b'{"%b":%b}' % (name.encode(), array(rows)), records=len(rows))


def period(fields: Fields, first: str, last: str) -> tuple[datetime, datetime]:
    start, end = fields.instant(first), fields.instant(last)
    if end < start:
        raise Invalid(f"{first} must not be later than {last}")
    if end - start > LONGEST_PERIOD:
        raise Invalid("PERIOD_IS_TOO_LONG")
    return start, end


def within(book: Book, call: Call, since: datetime, to: datetime) -> list[Record]:
    """The records of a time, its end included."""
    rows = book.seen(call.seller, call.now, since.date(), to.date())
    return [row for row in rows if since <= row.at <= to]


def offset_page(call: Call, rows: Sequence[Record]) -> Sequence[Record]:
    offset = call.body.integer("offset", low=0, high=2**31 - 1, default=0)
    limit = call.page_size(call.body.integer("limit", low=1, high=1000))
    return rows[offset : offset + limit]


def behind_last_row(rows: Iterable[Record], last_id: int) -> list[Record]:
    return sorted((row for row in rows if row.life.order > last_id), key=lambda row: row.life.order)


def _place(row: Record) -> tuple[datetime, int]:
    return row.at, row.life.order


def _read(cursor: str, pin: str) -> tuple[datetime, int]:
    match unseal(cursor):
        case [str(given), str(at), int(order)] if given == pin:
            return datetime.fromisoformat(at), order
        case _:
            raise Invalid("the cursor belongs to another filter")
