"""How Yandex Market's methods page and what their parameters look like."""

from __future__ import annotations

from datetime import UTC, datetime

from collectors.paging import Ask, Part, by_cursor
from collectors.stream import Pages
from collectors.windows import MOSCOW


def moscow_day(at: datetime) -> str:
    return at.astimezone(MOSCOW).date().isoformat()


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def page_token(limit: int) -> Part:
    """Give `pageToken` and `limit`, which are query parameters even of a POST."""
    return lambda walk, at: {"limit": walk.limit(limit), "pageToken": at["cursor"] or None}


def paged(ask: Ask, *, rows: str, total: str | None = None) -> Pages:
    """Walk until an answer gives no `nextPageToken`, which stands in the `paging` beside the rows.

    A method that gives all at once has no `paging`: one page. Should it begin to page, its token is not left unseen.
    """
    beside = rows.rpartition(".")[0]
    following = f"{beside}.paging.nextPageToken" if beside else "paging.nextPageToken"
    return by_cursor(ask, rows=rows, following=following, total=total, empty_ends=False)
