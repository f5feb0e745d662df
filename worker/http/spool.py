"""A body too large for memory, in a file without a name: the system deletes it with the process, however that ends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from collectors.errors import PutOff

PART = 8 << 20  # bytes in memory at a time; about what PostgreSQL takes in one statement without paying for it

_MAKE_ROOM = timedelta(minutes=5)  # a person has to, or other runs end


class Spool:
    """A body on disk, in the directory for temporary files. Every method raises PutOff where the disk does not do."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        with _on_disk():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the run; `close` ends it

    @property
    def sha256(self) -> bytes:
        return self._hash.digest()

    async def write(self, pieces: Sequence[bytes]) -> None:
        """Add them to the end."""
        with _on_disk():
            await asyncio.to_thread(self._write, pieces)
        self.size += sum(map(len, pieces))

    async def whole(self) -> bytes:
        return await self._read(0, self.size)

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body from its beginning, however often it was asked for, in parts of PART and a shorter last."""
        for start in range(0, self.size, PART):
            yield await self._read(start, PART)

    def close(self) -> None:
        """Give the room back. It may be called twice, and in mid-write: then the write is waited for."""
        with contextlib.suppress(OSError):  # what a full disk did not take is tried once more here
            self._file.close()

    def _write(self, pieces: Sequence[bytes]) -> None:
        self._file.writelines(pieces)
        self._file.flush()
        for piece in pieces:
            self._hash.update(piece)

    async def _read(self, start: int, size: int) -> bytes:
        with _on_disk():
            return await asyncio.to_thread(self._read_at, start, size)

    def _read_at(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        return self._file.read(size)


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PutOff(
            f"a large body cannot be kept on disk ({error.strerror or 'the directory cannot be used'}): "
            f"make room in {tempfile.tempdir or 'the temporary directory'} or let TMPDIR name another directory",
            wait=_MAKE_ROOM,
        ) from error
