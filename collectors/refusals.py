"""What an answer means whatever the marketplace: the part of judging that all of them share.

A marketplace's `judge` looks at its own error bodies first and leaves the rest to `judge_status`. Status alone does
not decide: a page of HTML with status 200 is a proxy's or a firewall's, never data.
"""

from __future__ import annotations

import re
import string
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from collectors.errors import (
    AccountRefused,
    Later,
    OtherProxy,
    RateLimited,
    RequestRefused,
    SplitWindow,
    StreamUnavailable,
)
from collectors.stream import Answer

T = TypeVar("T")

_LONGEST_WAIT = timedelta(hours=24)  # the longest interval of any known limit (Wildberries, base token)
_UNTOLD_WAIT = timedelta(seconds=30)  # a limit without a hint
_LONGEST_QUOTE = 1000  # characters of the API's words
_BODY_QUOTE = 200  # characters of a body that has no words where we look for them
_SEARCHED = 2 * _LONGEST_QUOTE  # characters of either in which keys are looked for
_SECONDS = re.compile(r"\s*[0-9]{1,9}(\.[0-9]{1,9})?\s*")
_UNITS = re.compile(r"[0-9]{1,9}")
# A run of so many characters with a digit in it may be a key that the API repeats: every vendor's is longer.
_KEYLIKE = re.compile(r"(?=[^0-9\s]{0,64}[0-9])[\w.:~+/=-]{32,}", re.ASCII)
_OF_KEYS = string.ascii_letters + string.digits + "_.:~+/=-"


def judge_status(answer: Answer, text: str = "") -> None:  # noqa: C901, PLR0912 - one for each meaning
    """Raise what the answer means, or return if it is an answer of data (200, 204). `text` is the API's own words."""
    status, words = answer.status, said(answer, text)
    match status:
        case 204:
            return
        case 200 if answer.spool is None and not answer.body.strip():
            raise Later(f"{words}: an empty answer where data were asked for", answer=answer)
        case 200 if not answer.request.signed:  # a file may hold anything
            return
        case 200 if looks_like_html(answer):
            raise OtherProxy(f"{words}: a page for people instead of data", answer=answer)
        case 200:
            return
        case 401 | 403 | 404 | 410 if not answer.request.signed:  # nobody's key was shown there
            raise Later(f"{words}: the link to the file does not open", answer=answer)
        case 401 | 402 if looks_like_html(answer):
            raise OtherProxy(f"{words}: a page for people instead of the API's refusal", answer=answer)
        case 403 | 451 | 511 if not _is_json(answer):
            raise OtherProxy(f"{words}: refused on the way", answer=answer)
        case 401:
            raise key_refused(answer, text)
        case 402:
            raise AccountRefused(
                "payment is required, not another key: settle it with the marketplace,"
                f" then `collector account resume` ({words})"
            )
        case 403:
            raise StreamUnavailable(words)
        case 413 | 414:
            raise SplitWindow(words)
        case 429:
            raise RateLimited(words, wait=retry_after(answer) or _UNTOLD_WAIT)
        case 408 | 425:
            raise Later(words, answer=answer)
        case _ if status >= 500:
            raise Later(words, answer=answer, too_much=status == 500)
        case _ if 300 <= status < 400:
            raise RequestRefused(f"{words}: {_redirection(answer)}", answer)
    raise RequestRefused(words, answer)


def key_refused(answer: Answer, text: str) -> AccountRefused:
    """Make the error of a key that is wrong, expired or withdrawn."""
    return AccountRefused(
        f"the key is refused: give the account a new one, then `collector account resume` ({said(answer, text)})"
    )


def said(answer: Answer, text: str = "") -> str:
    """Name the request and the status, and quote the API's words or else the beginning of an error's body.

    What may be a key is left out: an API may repeat what it was given.
    """
    longest = _LONGEST_QUOTE
    if not text and answer.status >= 400 and not looks_like_html(answer):
        text, longest = answer.body[: 4 * _SEARCHED].decode("utf-8", "replace"), _BODY_QUOTE
    quoted = _without_keys(text)[:longest]
    return f"{answer.request.method} {answer.request.path}: {answer.status} {quoted}".rstrip()


def _without_keys(text: str) -> str:
    """Leave out what may be a key; of a long text the beginning, without what may be the beginning of one."""
    beginning = text[:_SEARCHED]
    return _KEYLIKE.sub("***", beginning if len(text) <= _SEARCHED else beginning.rstrip(_OF_KEYS))


def read_refusal(answer: Answer, shape: type[T]) -> T:
    """Read what an error's body says, as far as `shape` wants it; a body that cannot be read says nothing."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return shape()


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


def units_left(answer: Answer, name: str) -> int | None:
    """Return the number of units that a header says are left; None if it does not say, or says nonsense."""
    value = answer.headers.get(name, "").strip()
    return int(value) if _UNITS.fullmatch(value) else None


def looks_like_html(answer: Answer) -> bool:
    return answer.body.lstrip()[:1] == b"<" or (answer.content_type or "").startswith("text/html")


def _is_json(answer: Answer) -> bool:
    return answer.body.lstrip()[:1] in {b"{", b"["}


def _redirection(answer: Answer) -> str:
    """Say where to. Never the whole address, which may hold a key, and never gone there: ours would be shown."""
    try:
        host = urlsplit(answer.headers.get("location", "")).hostname
    except ValueError:
        host = "an address that cannot be read"
    if host is None or host == answer.request.host:
        return "redirected on the same host, so the API has moved: the stream has to be mended"
    return f"redirected to another host ({host[:_BODY_QUOTE]}), which is never followed: look at the proxy"


def _seconds(value: str) -> timedelta | None:
    return timedelta(seconds=float(value)) if _SECONDS.fullmatch(value) else None


def _until(value: str, date: str | None) -> timedelta | None:
    try:
        return parsedate_to_datetime(value) - parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):
        return None
