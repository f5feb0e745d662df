"""Bodies: late, cut, packed wrongly, too large, or odd in themselves."""

from sandbox.faults.answers import (
    ROWS,
    Bomb,
    Flood,
    Reply,
    UntilClosed,
    close_in_body,
    close_in_chunks,
    close_unanswered,
    drip,
    endless_header,
    gzip_corrupt,
    gzip_cut,
    hang,
    hang_in_body,
    length_off,
    reset_in_body,
    two_at_once,
    zipped,
)
from sandbox.faults.case import Answers, Blame, Case, Reaction, Scene, Stored

_PATH = (Reaction.PAUSE, Reaction.OTHER, Reaction.PUT_OFF)
_UNPACKED = (Reaction.PLAIN, Reaction.OTHER, Reaction.PUT_OFF)
_QUARANTINE = (Reaction.QUARANTINE,)
# Larger than what the tests take, which is far less than what the worker takes.
OVER_CAP = 4 << 20

ODD = (
    b'{"rows": [{"id": 1, "name": "\xff\xfe"}], "next": ""}',
    b'{"rows": [{"id": 1, "price": NaN}], "next": ""}',
    b'\xef\xbb\xbf{"rows": [{"id": 1}], "next": ""}',
    b'{"rows": [{"id": 1, "name": "\\ud800"}], "next": ""}',
    b'{"rows": [{"id": 1, "name": "\\u0000"}], "next": ""}',
)

CASES = (
    Case(
        name="no-first-byte",
        what="no byte of an answer, in time",
        plays=(Answers(hang),),
        slow=True,
        blame=Blame.PATH,
        reactions=_PATH,
        third=Reaction.SPLIT,
    ),
    Case(
        name="stands-still",
        what="nothing more in the middle of a body",
        plays=(Answers(hang_in_body),),
        slow=True,
        blame=Blame.PATH,
        reactions=_PATH,
        third=Reaction.SPLIT,
    ),
    Case(
        name="drips",
        what="a byte at a time: only the deadline of the whole ends it",
        plays=(Answers(drip),),
        slow=True,
        blame=Blame.PATH,
        reactions=_PATH,
        third=Reaction.SPLIT,
    ),
    Case(
        name="cut-off",
        what="reset or closed before the end that was promised, or without any answer",
        plays=tuple(Answers(act) for act in (reset_in_body, close_in_body, close_in_chunks, close_unanswered)),
        blame=Blame.PATH,
        reactions=_PATH,
    ),
    Case(
        name="cut-off-unseen",
        what="cut off where nothing says so: closed without a length, or with too short a one",
        plays=(Answers(UntilClosed(ROWS[:-9])), Answers(length_off(-5))),
        blame=Blame.PATH,
        reactions=_PATH,
    ),
    Case(
        name="closed-at-the-end",
        what="a whole body whose end is the end of the connection",
        plays=(Answers(UntilClosed()),),
        stored=Stored.PAGE,
    ),
    Case(
        name="file-cut-off-unseen",
        what="a report's file without a length: nothing tells whether it is whole",
        plays=(Answers(UntilClosed(b"id;name\r\n1;on", "text/csv"), at="/files/"),),
        scene=Scene.REPORT,
        marketplace="yandex_market",
        blame=Blame.PATH,
        reactions=_PATH,
    ),
    Case(
        name="gzip-cut-off",
        what="a gzip without its end, of the right length",
        plays=(Answers(gzip_cut()),),
        blame=Blame.PATH,
        reactions=_UNPACKED,
    ),
    Case(
        name="gzip-corrupt",
        what="a gzip that cannot be unpacked, or is none",
        plays=(Answers(gzip_corrupt()), Answers(zipped(ROWS))),
        blame=Blame.PATH,
        reactions=_UNPACKED,
    ),
    Case(
        name="unknown-encoding",
        what="an encoding that we did not ask for, or one upon another",
        plays=(Answers(zipped(ROWS, "br")), Answers(zipped(ROWS, "gzip, gzip"))),
        blame=Blame.API,
        reactions=_QUARANTINE,
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="bomb",
        what="a gzip that unpacks to hundreds of times its size, and more than a page may have",
        plays=(Answers(Bomb(OVER_CAP)),),
        blame=Blame.API,
        reactions=_QUARANTINE,
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="too-long",
        what="a body longer than a page may be, as declared or as it comes",
        plays=(Answers(Flood(OVER_CAP, declared=True)), Answers(Flood(OVER_CAP, declared=False))),
        scene=Scene.WINDOWS,
        once=True,
        blame=Blame.US,
        reactions=(Reaction.SPLIT,),
        stored=Stored.PAGE,
    ),
    Case(
        name="error-too-long",
        what="an error with a long body: only its beginning is read",
        plays=(Answers(Flood(OVER_CAP, declared=False, status=500)),),
        blame=Blame.API,
        reactions=(Reaction.PAUSE, Reaction.PAUSE, Reaction.PUT_OFF),
    ),
    Case(
        name="large-file",
        what="a report's file longer than a page may be",
        plays=(Answers(Flood(OVER_CAP, declared=True), at="/files/"),),
        scene=Scene.REPORT,
        marketplace="yandex_market",
        stored=Stored.PARTS,
    ),
    Case(
        name="endless-header",
        what="a header of half a megabyte",
        plays=(Answers(endless_header),),
        blame=Blame.PATH,
        reactions=_PATH,
    ),
    Case(
        name="two-at-once",
        what="an answer that nobody asked for, in the packet of the one before: it is nobody's answer",
        plays=(Answers(two_at_once),),
        scene=Scene.PAGES,
        once=True,
        stored=Stored.PAGE,
    ),
    Case(
        name="odd-content",
        what="invalid UTF-8, NaN, a byte order mark, a lone surrogate, a zero character",
        plays=tuple(Answers(Reply(200, body)) for body in ODD),
        stored=Stored.BODY,
    ),
    Case(
        name="twice-the-same-key",
        what="an object that has a key twice: kept as it came",
        plays=(Answers(Reply(200, b'{"rows": [{"id": 1, "id": 1.10}], "next": ""}')),),
        stored=Stored.PAGE,
    ),
    Case(
        name="not-json",
        what="200 with text that is not JSON",
        plays=(Answers(Reply(200, b"OK", {"Content-Type": "text/plain"})),),
        blame=Blame.API,
        reactions=_QUARANTINE,
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="envelope-moved",
        what="what paging depends on is missing, elsewhere, or of another type",
        plays=tuple(
            Answers(Reply(200, body))
            for body in (
                b'{"result": {"rows": []}}',
                b'{"rows": {"1": {}}, "next": ""}',
                b'{"rows": [], "next": 7}',
                b"[]",
                b"null",
            )
        ),
        blame=Blame.API,
        reactions=_QUARANTINE,
        stored=Stored.QUARANTINE,
    ),
)
