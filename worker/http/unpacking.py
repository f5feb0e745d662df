"""Taking a content encoding off in bounded pieces, and knowing whether it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from isal import isal_zlib

_PIECE = 64 * 2**10  # unpacked at a time: a bomb is noticed after this much
_GZIP = 31  # wbits of zlib: gzip's wrapper
_ZLIB = 15
_RAW = -15
Broken = cast("type[Exception]", isal_zlib.error)  # isal's stub calls it an instance


class Decoder(Protocol):
    """A content encoding being taken off."""

    unknown: str
    tells_its_end: bool

    @property
    def complete(self) -> bool:
        """Whether what was fed ends where its encoding ends."""
        ...

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what comes out of the chunk. Raises Broken."""
        ...


def decoder_for(headers: Mapping[str, str]) -> Decoder:
    """Return what takes the content encoding off, piece by piece; one that we cannot take off is named in `unknown`."""
    match headers.get("content-encoding", "").strip().lower():
        case "" | "identity":
            return _AsItIs()
        case "gzip" | "x-gzip":
            return _Unpacked(_GZIP)
        case "deflate":
            return _Unpacked(None)
        case other:
            return _AsItIs(unknown=other)


@dataclass
class _AsItIs:
    unknown: str = ""  # an encoding that we cannot take off
    complete: bool = True
    tells_its_end: bool = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk


class _Unpacked:
    """gzip or deflate, in bounded pieces. An empty body is complete: a 204 may say gzip too."""

    unknown = ""
    tells_its_end = True

    def __init__(self, wbits: int | None) -> None:
        self._wbits = wbits  # None: deflate, whose two forms are told apart by the first byte
        self._unpacker: isal_zlib.Decompress | None = None

    @property
    def complete(self) -> bool:
        return self._unpacker is None or self._unpacker.eof

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        rest, full = chunk, False
        while rest or full:
            if self._unpacker is None or self._unpacker.eof:
                rest = rest if self._unpacker is None else rest.lstrip(b"\0")  # gzip may be padded with zeros
                if not rest:
                    return
                # After the end comes another member of the same gzip, or what is not gzip and raises.
                self._unpacker = isal_zlib.decompressobj(wbits=self._form(rest))
            piece = self._unpacker.decompress(rest, _PIECE)
            rest = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
            full = len(piece) == _PIECE and not self._unpacker.eof  # there may be more although all input is used
            if piece:
                yield piece
            elif rest and not self._unpacker.eof:
                raise Broken("it does not go on")

    def _form(self, start: bytes) -> int:
        if self._wbits is None:
            # RFC 9110 means zlib's wrapper, but some servers send it without: its first byte names method 8.
            self._wbits = _ZLIB if start[0] & 0x0F == 8 else _RAW
        return self._wbits
