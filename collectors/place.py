"""Places for what a marketplace makes for a seller: so many reports may be under way at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from collectors.stream import Answer, Bucket


@dataclass(frozen=True)
class Place:
    """A place in a bucket of PLACES, held under a name from the request that begins something until it is over.

    Its begin waits until there is a place. Each later request that names it holds it on, for the bucket's `every`,
    unless `over` says of the answer that it has ended. A place that nobody holds on is free after that time.
    """

    bucket: Bucket
    name: str
    over: Callable[[Answer], bool] | None = None  # None: this request begins it
