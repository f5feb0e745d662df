"""A body on disk: in a file without a name, that goes when it is closed."""

import asyncio
import tempfile

import pytest

from collectors.errors import PutOff
from tests.spools import OpenFiles
from worker.http.spool import PART, Spool


async def test_it_can_be_closed_in_mid_write_and_twice(open_files: OpenFiles) -> None:
    spool = Spool()
    writing = asyncio.create_task(spool.write([bytes(8 * PART)]))
    while not spool._file.raw.tell():  # noqa: ASYNC110 - a thread writes, and tells nobody
        await asyncio.sleep(0)
    writing.cancel()
    spool.close()
    spool.close()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert open_files() == 0


async def test_an_empty_body_has_no_parts() -> None:
    spool = Spool()
    assert [part async for part in spool.parts()] == []
    spool.close()


def test_a_directory_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(PutOff, match=r"No such file or directory\): make room in /nowhere or let TMPDIR name another"):
        Spool()
