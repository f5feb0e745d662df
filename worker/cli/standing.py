"""What streams are, as rows to show."""

from __future__ import annotations

from collectors.stream import Bucket, ListedBy, Scope, Snapshot, Stream, Watermark, Windows
from worker.cli.words import span


def described(stream: Stream) -> dict[str, str]:
    """Say what a stream is, in the words of its declaration."""
    return {
        "marketplace": stream.marketplace.name,
        "stream": stream.name,
        "what it is": stream.about,
        "slices": _slices(stream),
        "paging": stream.paging,
        "progress": _progress(stream),
        "every": span(stream.every),
        "restated for": _restated(stream),
        "limits": ", ".join(_limit(bucket) for bucket in (*stream.buckets, *stream.marketplace.buckets)),
        "needs": stream.needs,
    }


def _slices(stream: Stream) -> str:
    if isinstance(stream.slices, ListedBy):
        return f"each of {stream.slices.stream}"
    return ", ".join(name for name in stream.slices if name)


def _progress(stream: Stream) -> str:
    match stream.progress:
        case Watermark():
            return "watermark"
        case Snapshot():
            return "snapshot"
        case Windows(longest="month"):
            return "windows of a month"
        case Windows(longest=longest):
            assert not isinstance(longest, str), "the other case"
            return f"windows of {span(longest)}"


def _restated(stream: Stream) -> str:
    if isinstance(stream.progress, Windows) and stream.progress.restated:
        return span(stream.progress.restated[-1][0])
    return ""


def _limit(bucket: Bucket) -> str:
    if bucket.scope is Scope.SLOTS:
        return f"{bucket.rate.burst} at the same time"
    burst = f" ({bucket.rate.burst} at once)" if bucket.rate.burst > 1 else ""
    return f"1 per {span(bucket.rate.every)}{burst}"
