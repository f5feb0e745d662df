"""How many requests a day live collection takes, and how many the limits of each type of token allow.

An ordinary day of an account whose lists fit a page each: what more pages a seller has come on top, so the figures are
what a stream takes at least. A first collection and backfills use what is left. Walks of a report are counted where
they are created: a test holds polls and files, which come on top, against what is left of their limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from collectors.stream import Bucket, FilesOfIds, ListedBy, Marketplace, RecordsAt, Scope, Stream, Windows

LISTED = 10  # slices of a stream whose slices another one lists: the stores of a seller, its warehouses
ORDINARY = ""  # the token whose limits are the buckets' own
NAMED = 70  # ids of a stream that walks for each of them: the reports of five weeks, and of the windows they lie in
_DAY = timedelta(days=1)
_MONTH = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Use:
    """What all streams that share a bucket take of it in a day. Units are requests, or what the API counts instead."""

    taken: float
    allowed: float

    @property
    def fits(self) -> bool:
        return self.taken <= self.allowed


def token_types(marketplace: Marketplace, streams: Iterable[Stream]) -> list[str]:
    """Return the types of token that have limits of their own, ORDINARY first."""
    of_token = {name for stream in streams for bucket in counted(marketplace, stream) for name in bucket.by_token}
    return [ORDINARY, *sorted(of_token)]


def counted(marketplace: Marketplace, stream: Stream) -> Iterator[Bucket]:
    """Yield the limits by the day of a stream: requests at the same time have none."""
    return (bucket for bucket in (*stream.buckets, *marketplace.buckets) if bucket.scope is not Scope.SLOTS)


def requests_a_day(stream: Stream) -> float:
    slices = LISTED if isinstance(stream.slices, ListedBy) else len(stream.slices)
    return walks_a_day(stream) * slices * requests_a_walk(stream)


def requests_a_walk(stream: Stream) -> int:
    """Return 1 where one answer is all, else 2, or 2 of each id: a page, and what tells that nothing is behind it."""
    if stream.paging.startswith("for each "):
        return 2 * NAMED
    return 1 if stream.paging.startswith(("one ", "all ", "report")) else 2


def walks_a_day(stream: Stream) -> float:
    """Return how many walks a slice of the stream makes on an ordinary day."""
    runs = _DAY / stream.every
    progress = stream.progress
    if not isinstance(progress, Windows):
        return runs
    grain = _MONTH if progress.grain == "month" else progress.grain
    longest = _MONTH if progress.longest == "month" else progress.longest
    grown = min(runs, _DAY / grain)  # the newest window, whenever it has grown
    growing = 1 if grain < longest else 0
    begun = _DAY / longest  # each window is read once more, after it has ended or when it is settled
    again, younger = 0.0, timedelta(0)
    for until, every in progress.restated:
        again += ((until - younger) / longest + growing) * (_DAY / max(every, stream.every))
        younger = until
    return grown + begun + again


def ids_at_once(stream: Stream) -> int:
    return stream.pages.at_once if isinstance(stream.pages, RecordsAt | FilesOfIds) else 1


def ids_in(stream: Stream, time: timedelta, token_type: str) -> int:
    """Return for how many ids a stream can ask in that time, if nothing else takes from its limits."""
    slowest = max(bucket.rate_for(token_type).every * bucket.most for bucket in counted(stream.marketplace, stream))
    return ids_at_once(stream) * (time // slowest)


def ids_kept_up_with(stream: Stream, token_type: str) -> int:
    """Return how many ids a seller can have while the stream is collected as often as it says."""
    slices = LISTED if isinstance(stream.slices, ListedBy) else len(stream.slices)
    a_walk = _DAY / max(walks_a_day(stream), 1) / slices
    return ids_in(stream, min(a_walk, stream.trusted_for), token_type)


def uses(marketplace: Marketplace, streams: Iterable[Stream], token_type: str) -> Mapping[str, Use]:
    """Return what is taken of each bucket of the marketplace by a day of all these streams, by the bucket's name."""
    found: dict[str, Use] = {}
    for stream in streams:
        for bucket in counted(marketplace, stream):
            before = found[bucket.name].taken if bucket.name in found else 0.0
            found[bucket.name] = Use(
                taken=before + requests_a_day(stream) * bucket.most,
                allowed=_DAY / bucket.rate_for(token_type).every,
            )
    return found


def tightest(stream: Stream, found: Mapping[str, Use]) -> Use:
    """Return the use of that of the stream's buckets which is the fullest."""
    return max(
        (found[bucket.name] for bucket in counted(stream.marketplace, stream)), key=lambda use: use.taken / use.allowed
    )
