"""An answer is read as far as paging needs it, and strictly: what moved is an error, never "nothing there"."""

from __future__ import annotations

import pytest

from collectors.envelope import Envelope
from collectors.errors import Malformed
from tests.unit.collectors.scripted import answer_of

POSTINGS = Envelope("postings", following=("cursor", str | None), more=("has_next", bool))


def test_rows_and_values_are_found_by_their_paths() -> None:
    envelope = Envelope("result.orders", following=("result.paging.nextPageToken", str | None), total=("total", int))
    body = b'{"status":"OK","total":9,"result":{"paging":{"nextPageToken":"x"},"orders":[{"id":1}, {"id":2}]}}'
    read = envelope.read(answer_of(body))
    assert len(read.rows) == 2
    assert read.rows.value(-1, "id", int) == 2
    assert read.rows.text(0) == b'{"id":1}'
    assert (read["following"], read["total"]) == ("x", 9)


def test_a_root_array_is_rows() -> None:
    assert len(Envelope("").read(answer_of(b' [1, {"a": 2}]')).rows) == 2


@pytest.mark.parametrize("body", [b'{"result":{"orders":[]}}', b'{"result":{"orders":[],"paging":{}}}'])
def test_a_value_that_may_be_missing_may_miss_its_whole_branch(body: bytes) -> None:
    read = Envelope("result.orders", following=("result.paging.nextPageToken", str | None)).read(answer_of(body))
    assert read["following"] is None


@pytest.mark.parametrize(
    ("body", "about"),
    [
        (b'{"result":{"postings":[{}]},"has_next":false}', "postings"),
        (b'{"postings":null,"has_next":false}', "Expected `array`"),
        (b'{"postings":{"0":{}},"has_next":false}', "Expected `array`"),
        (b'{"postings":[]}', "has_next"),
        (b'{"postings":[],"has_next":"false"}', "Expected `bool`"),
        (b'{"postings":[],"has_next":0}', "Expected `bool`"),
        (b'{"postings":[],"has_next":true,"cursor":7}', "Expected `str"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b"", "cannot be read"),
        (b'{"postings":[{"a":1}],"has_next":tr', "cannot be read"),
        (b'{"postings":[],"has_next":true} and more', "Extra data"),
        (b"<html>", "cannot be read"),
        (b'{"postings":' + b"[" * 100_000, "cannot be read"),
    ],
)
def test_an_envelope_that_moved_is_malformed_and_the_answer_goes_along(body: bytes, about: str) -> None:
    answer = answer_of(body)
    with pytest.raises(Malformed, match=about) as caught:
        POSTINGS.read(answer)
    assert caught.value.answer is answer


@pytest.mark.parametrize(
    "row", [b'{"other":1}', b'{"id":null}', b'{"id":"1"}', b'{"id":1.5}', b'{"id":true}', b"7", b'{"id":"\xff"}']
)
def test_a_field_of_a_row_must_be_there_and_of_its_type(row: bytes) -> None:
    rows = Envelope("").read(answer_of(b"[" + row + b"]")).rows
    with pytest.raises(Malformed, match="a row cannot be read"):
        rows.value(0, "id", int)


@pytest.mark.parametrize(
    "odd",
    [b"NaN", b"-Infinity", rb'"\ud800"', b'"\xff\xfe"', rb'"\u0000"', b"1" * 400, b"1e999"],
    ids=["NaN", "infinity", "lone surrogate", "invalid UTF-8", "NUL", "400 digits", "1e999"],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
def test_what_only_a_lenient_eye_reads_does_not_stop_the_paging(mark: bytes, odd: bytes) -> None:
    body = mark + b'{"postings":[{"odd":' + odd + b',"id":1},{"id":2}],"cursor":"c","has_next":true}'
    read = POSTINGS.read(answer_of(body))
    assert [read.rows.value(index, "id", int) for index in range(len(read.rows))] == [1, 2]
    assert (read["following"], read["more"]) == ("c", True)


def test_an_odd_body_is_read_as_strictly() -> None:
    with pytest.raises(Malformed, match="has_next"):
        POSTINGS.read(answer_of(b'{"postings":[{"odd":NaN}],"cursor":"c"}'))


@pytest.mark.parametrize("cursor", [rb"\ud800", b"\xff"], ids=["lone surrogate", "invalid UTF-8"])
def test_a_cursor_that_cannot_be_sent_back_as_it_came_is_malformed(cursor: bytes) -> None:
    with pytest.raises(Malformed):
        POSTINGS.read(answer_of(b'{"postings":[],"cursor":"' + cursor + b'","has_next":true}'))


def test_equal_rows_have_equal_texts_in_a_lenient_reading() -> None:
    rows = Envelope("").read(answer_of(rb'[{"a":NaN,"b":"\ud800"}, {"a": NaN, "b": "\ud800"}, {"a":1}]')).rows
    assert rows.text(0) == rows.text(1) != rows.text(2)
