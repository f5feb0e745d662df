"""What many methods of Wildberries have in common: lists that are cut by a window and by pages."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial

from sandbox.marketplace import Stream
from sandbox.records import Book, Record, array
from sandbox.wire import Call, Endpoint, Fields, Invalid, Reply, end_of, moscow_midnight

endpoint = partial(Endpoint, "wildberries")


def fixed(number: int, first: date) -> Callable[[date], int]:
    """That many from the first day on, and never another."""
    return lambda day: number if day == first else 0


def of_book(book: Book, window: Callable[[Record], datetime] | None) -> Stream:
    """What the oracle tells of a stream that shows all of a book."""
    return Stream(lambda seller, now: list(book.seen(seller, now)), window)


def by_age(row: Record) -> tuple[datetime, str]:
    return row.at, row.key


def all_rows(book: Book, call: Call) -> list[Record]:
    return sorted(book.seen(call.seller, call.now), key=by_age)


def of_days(
    book: Book,
    call: Call,
    fields: Fields,
    *,
    names: tuple[str, str] = ("dateFrom", "dateTo"),
    longest: int | None = None,
) -> list[Record]:
    """The rows of Moscow days, both named days included."""
    first, last = fields.day(names[0]), fields.day(names[1])
    if last < first:
        raise Invalid(f"{names[0]} must not be later than {names[1]}")
    if longest is not None and (last - first).days >= longest:
        raise Invalid(f"period must be less or equal {longest} days")
    return between(book, call, moscow_midnight(first), end_of(last))


def of_seconds(book: Book, call: Call) -> list[Record]:
    """The rows of Unix seconds, both named seconds included."""
    start = call.query.integer("dateFrom", low=0, high=2**40, default=0)
    end = call.query.integer("dateTo", low=0, high=2**40, default=int(call.now.timestamp()))
    if end < start:
        raise Invalid("dateFrom must not be later than dateTo")
    return between(book, call, datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end + 1, UTC))


def between(book: Book, call: Call, start: datetime, end: datetime) -> list[Record]:
    seen = book.seen(call.seller, call.now, start.date(), end.date())
    return sorted((row for row in seen if start <= row.at < end), key=by_age)


def page(rows: list[Record], call: Call, fields: Fields, *, most: int, default: int, envelope: bytes = b"%b") -> Reply:
    """The page that `offset` and `limit` ask for."""
    limit = call.page_size(fields.integer("limit", low=1, high=most, default=default))
    offset = fields.integer("offset", low=0, high=2**31 - 1, default=0)
    return whole(rows[offset : offset + limit], envelope)


def whole(rows: list[Record], envelope: bytes = b"%b") -> Reply:
    return Reply(200, envelope % array(rows), records=len(rows))


Streams = Mapping[str, Stream]
