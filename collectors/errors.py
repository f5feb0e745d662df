"""What can go wrong while a stream is collected, named by what the worker must do about it.

CollectError
├── PutOff                nothing is wrong: come back later, no attempt is spent
│   ├── RateLimited       the marketplace says wait; every worker has to
│   └── NotReady          the report is not made yet
├── TryAgain              the same request may work
│   ├── OtherProxy        through another proxy: this one failed
│   └── Later             in a while: the API, or the way to it, failed
├── AskLess               the request asks too much
│   ├── SplitWindow       of time
│   └── SmallerPage       of one page
├── AccountRefused        the key is refused or unpaid: a person must mend the account
├── StreamUnavailable     this account cannot have this stream, or the endpoint is gone
└── Unacceptable          the answer cannot be accepted: quarantine it, move nothing
    ├── Malformed         what paging depends on is missing or of another type
    ├── NoProgress        the cursor does not move although there is more
    └── RequestRefused    the API says that the request itself is wrong

`worker/http` translates httpx's errors into these once, each marketplace's `api.py` its refusals once, and
`worker/jobs.py` turns each kind into its consequence once. They carry data, never a token nor a URL with credentials.
`blame` says whose fault it is: the proxies' health, the breaker of a host and the logs go by it.
"""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collectors.stream import Answer


class Blame(enum.StrEnum):
    """Whose fault it is."""

    NOBODY = "nobody"
    ACCOUNT = "account"  # its key, its payment, its limit
    PROXY = "proxy"  # to whatever marketplace
    PAIR = "proxy and marketplace"  # this marketplace refuses this proxy's address
    PATH = "path"  # the proxy, the API or what lies between: one failure does not tell
    API = "API"
    US = "us"  # our request, our settings, our own servers


class CollectError(Exception):
    """Something that the worker has an answer to. The message is for people and holds no secret."""

    blame = Blame.NOBODY


class PutOff(CollectError):
    """Come back after `wait`. What was kept stays kept, and no attempt is spent."""

    def __init__(self, message: str, *, wait: timedelta) -> None:
        super().__init__(message)
        self.wait = wait


class RateLimited(PutOff):
    """A limit is used up for `wait`. `bucket` names it when the marketplace told which."""

    blame = Blame.ACCOUNT

    def __init__(self, message: str, *, wait: timedelta, bucket: str | None = None) -> None:
        super().__init__(message, wait=wait)
        self.bucket = bucket


class NotReady(PutOff):
    """The marketplace is still working on what was asked."""


class TryAgain(CollectError):
    """The same request may work. `status` is the API's, where there was an answer."""

    def __init__(self, message: str, *, answer: Answer | None = None, blame: Blame | None = None) -> None:
        super().__init__(message)
        self.answer = answer
        if blame is not None:
            self.blame = blame

    @property
    def status(self) -> int | None:
        return None if self.answer is None else self.answer.status


class OtherProxy(TryAgain):
    """The proxy, not the API, failed, and so many `points` of three; `lasting`: until somebody mends it."""

    blame = Blame.PROXY

    def __init__(
        self,
        message: str,
        *,
        answer: Answer | None = None,
        blame: Blame | None = None,
        points: float = 1.0,
        lasting: bool = False,
    ) -> None:
        # With an answer, it is one that this proxy's address got from the marketplace or its firewall.
        super().__init__(message, answer=answer, blame=blame or (Blame.PAIR if answer else None))
        self.points = points
        self.lasting = lasting


class Later(TryAgain):
    """The API, or the network on the way to it, failed. `too_much`: time and again, it may be what we ask for."""

    blame = Blame.API

    def __init__(
        self, message: str, *, answer: Answer | None = None, blame: Blame | None = None, too_much: bool = False
    ) -> None:
        super().__init__(message, answer=answer, blame=blame)
        self.too_much = too_much


class AskLess(CollectError):
    """The request was too large."""

    blame = Blame.US


class SplitWindow(AskLess):
    """Ask for a shorter time."""


class SmallerPage(AskLess):
    """Ask for fewer records at once."""


class AccountRefused(CollectError):
    """The account's credentials are refused, expired or unpaid; more calls would only do harm."""

    blame = Blame.ACCOUNT


class StreamUnavailable(CollectError):
    """The account lacks a subscription or scope for this stream, or the endpoint was retired."""

    blame = Blame.ACCOUNT


class Unacceptable(CollectError):
    """An answer that must not be stored as data. `answer` is kept in quarantine."""

    blame = Blame.API

    def __init__(self, message: str, answer: Answer) -> None:
        super().__init__(message)
        self.answer = answer


class Malformed(Unacceptable):
    """A field that paging depends on is missing or of another type."""


class NoProgress(Unacceptable):
    """The marketplace says there is more, but its cursor stands still."""


class RequestRefused(Unacceptable):
    """The API says that the request itself is wrong: ours is out of date."""

    blame = Blame.US


class CannotLoad(ImportError):
    """Streams that cannot be registered when we start. The message is one sentence: what is wrong, what to do."""
