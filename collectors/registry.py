"""Every stream there is."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.ozon import streams as _ozon
from collectors.stream import Marketplace, Stream
from collectors.wildberries import streams as _wildberries
from collectors.yandex_market import streams as _yandex_market


class Unknown(LookupError):
    """No such marketplace or stream. The message says which there are."""


def _by_name(*catalogues: tuple[Stream, ...]) -> dict[str, dict[str, Stream]]:
    found: dict[str, dict[str, Stream]] = {}
    for catalogue in catalogues:
        for stream in catalogue:
            streams = found.setdefault(stream.marketplace.name, {})
            assert stream.name not in streams, f"two streams are called {stream.name}"
            streams[stream.name] = stream
    return found


STREAMS: Mapping[str, Mapping[str, Stream]] = _by_name(_wildberries.STREAMS, _ozon.STREAMS, _yandex_market.STREAMS)


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
