"""What an answer means whatever the marketplace: the part of judging that all of them share.

A marketplace's `judge` looks at its own error bodies first and leaves the rest to `judge_status`. Status alone does
not decide: a page of HTML with status 200 is a proxy's or a firewall's, never data.
"""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime

from collectors.errors import AccountRefused, Later, OtherProxy, RateLimited, RequestRefused, SplitWindow
from collectors.stream import Answer

_LONGEST_WAIT = timedelta(hours=24)  # the longest interval of any known limit (Wildberries, base token)
_UNTOLD_WAIT = timedelta(seconds=30)  # a limit without a hint


def judge_status(answer: Answer, text: str = "") -> None:
    """Raise what the answer means, or return if it is an answer of data (200, 204). `text` is the API's own words."""
    status = answer.status
    words = f"{answer.request.method} {answer.request.path}: {status} {text}".rstrip()
    if status in {200, 204}:
        if answer.request.signed and looks_like_html(answer):
            raise OtherProxy(f"{words}: a page for people instead of data", answer=answer)
        return
    match status:
        case 401 | 402:
            raise AccountRefused(words)
        case 403 | 451 if not _is_json(answer):
            raise OtherProxy(f"{words}: refused on the way", answer=answer)
        case 413 | 414:
            raise SplitWindow(words)
        case 429:
            raise RateLimited(words, wait=retry_after(answer) or _UNTOLD_WAIT)
        case 408 | 425:
            raise Later(words, answer=answer)
        case _ if status >= 500:
            raise Later(words, answer=answer)
    raise RequestRefused(words, answer)  # 3xx too: a redirect is never followed with credentials


def retry_after(answer: Answer, *names: str) -> timedelta | None:
    """Return how long the answer says to wait: the first of `names` or Retry-After, in seconds or as a date.

    A date counts from the answer's own Date, not from our clock. Nonsense is ignored; the wait is at most a day.
    """
    for name in (*names, "retry-after"):
        value = answer.headers.get(name)
        if value is None:
            continue
        wait = _seconds(value) or _until(value, answer.headers.get("date"))
        if wait is not None and wait > timedelta(0):
            return min(wait, _LONGEST_WAIT)
    return None


def looks_like_html(answer: Answer) -> bool:
    return answer.body.lstrip()[:1] == b"<" or (answer.content_type or "").startswith("text/html")


def _is_json(answer: Answer) -> bool:
    return answer.body.lstrip()[:1] in {b"{", b"["}


def _seconds(value: str) -> timedelta | None:
    try:
        return min(timedelta(seconds=float(value)), _LONGEST_WAIT)
    except (ValueError, OverflowError):
        return None


def _until(value: str, date: str | None) -> timedelta | None:
    try:
        return parsedate_to_datetime(value) - parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):
        return None
