"""Every stream there is: those of this project, and those of packages installed beside it.

Such a package says under the entry point group `bronze_collector.marketplaces` where its tuple of streams is; see
docs/add-a-stream.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

from collectors.errors import CannotLoad
from collectors.ozon import streams as _ozon
from collectors.stream import Marketplace, Stream
from collectors.wildberries import streams as _wildberries
from collectors.yandex_market import streams as _yandex_market

GROUP = "bronze_collector.marketplaces"


class Unknown(LookupError):
    """No such marketplace or stream. The message says which there are."""


def from_outside(found: Iterable[EntryPoint]) -> Iterator[tuple[Stream, ...]]:
    """Yield the streams that other packages offer. Raises CannotLoad: to leave them out would be to lose data."""
    for point in sorted(found):
        package = point.dist.name if point.dist else point.module
        try:
            streams = point.load()
        except (ImportError, AttributeError) as error:
            raise CannotLoad(f"the streams of {package} cannot be loaded ({error}): mend or uninstall it") from error
        if not (isinstance(streams, tuple) and streams and all(isinstance(stream, Stream) for stream in streams)):
            raise CannotLoad(f"{package} offers {point.value}, which is not a tuple of streams: mend or uninstall it")
        yield streams


def by_name(*catalogues: tuple[Stream, ...]) -> dict[str, dict[str, Stream]]:
    """Order streams by marketplace and name. Raises CannotLoad if two cannot be told apart."""
    found: dict[str, dict[str, Stream]] = {}
    for catalogue in catalogues:
        for stream in catalogue:
            marketplace = stream.marketplace
            streams = found.setdefault(marketplace.name, {})
            if stream.name in streams:
                raise CannotLoad(f"two streams are called {marketplace.name}/{stream.name}: rename one")
            # Whose hosts see an account's credentials must not depend on the order of packages.
            if any(other.marketplace is not marketplace for other in streams.values()):
                raise CannotLoad(f"two marketplaces are called {marketplace.name}: rename one")
            streams[stream.name] = stream
    return found


STREAMS: Mapping[str, Mapping[str, Stream]] = by_name(
    _wildberries.STREAMS, _ozon.STREAMS, _yandex_market.STREAMS, *from_outside(entry_points(group=GROUP))
)


def streams_of(marketplace: str) -> Mapping[str, Stream]:
    """Return the streams of a marketplace by name. Raises Unknown."""
    try:
        return STREAMS[marketplace]
    except KeyError:
        raise Unknown(f"no marketplace is called {marketplace!r}: there are {', '.join(STREAMS)}") from None


def find_stream(marketplace: str, name: str) -> Stream:
    """Return a stream. Raises Unknown."""
    streams = streams_of(marketplace)
    try:
        return streams[name]
    except KeyError:
        raise Unknown(f"{marketplace} has no stream {name!r}: there are {', '.join(streams)}") from None


def find_marketplace(name: str) -> Marketplace:
    """Return a marketplace. Raises Unknown."""
    return next(iter(streams_of(name).values())).marketplace
