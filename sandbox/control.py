"""The control API, at the host `sandbox.control`: for tests and for looking in. No credentials."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.ledger import Failure, as_rows
from sandbox.records import zulu
from sandbox.wire import Fields, Invalid, Reply, parse_body, reply

if TYPE_CHECKING:
    from sandbox.server import Sandbox

HOST = "sandbox.control"


def answer(box: "Sandbox", method: str, path: str, query: Mapping[str, str], raw: bytes) -> Reply:
    try:
        if method == "GET" and path in _READS:
            return reply(_READS[path](box, Fields(query, texts=True)))
        if method == "POST" and path in _WRITES:
            return reply(_WRITES[path](box, parse_body(raw)))
    except Invalid as invalid:
        return reply({"error": str(invalid)}, 400)
    return reply({"error": f"The control API has no {method} {path}."}, 404)


def _records(box: "Sandbox", query: Fields) -> list[str]:
    query.only("marketplace", "seller", "stream", "slice", "from", "to", "by")
    return box.records(
        query.text("marketplace"),
        query.text("seller"),
        query.text("stream"),
        slice_=query.text("slice", ""),
        start=_time(query, "from"),
        end=_time(query, "to"),
        by=query.choice("by", ("created", "changed")) if "by" in query else None,
    )


def _time(query: Fields, name: str) -> datetime | None:
    # A plus sign that nobody escaped came as a space.
    values = {name: query.text(name).replace(" ", "+")} if name in query else {}
    return Fields(values).instant(name) if values else None


def _now(box: "Sandbox", body: Fields) -> dict[str, str]:
    body.only()
    return {"now": zulu(box.clock.now())}


def _move_clock(box: "Sandbox", body: Fields) -> dict[str, str]:
    body.only("advance", "set", "running")
    if "advance" in body:
        seconds = body.values["advance"]
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise Invalid("advance: seconds required")
        box.clock.advance(timedelta(seconds=seconds))
    if "set" in body:
        box.clock.set(body.instant("set"))
    if "running" in body:
        if body.flag("running"):
            box.clock.run()
        else:
            box.clock.freeze()
    return {"now": zulu(box.clock.now())}


def _fail(box: "Sandbox", body: Fields) -> dict[str, str]:
    body.only("marketplace", "stream", "status", "count", "body", "content_type", "seller", "retry")
    failure = Failure(
        marketplace=body.text("marketplace"),
        stream=body.text("stream"),
        count=body.integer("count", low=1, high=2**31, default=1),
        status=body.integer("status", low=200, high=599, default=200 if "body" in body else 500),
        body=body.text("body") if "body" in body else None,
        content_type=body.text("content_type", "application/json"),
        seller=body.text("seller") if "seller" in body else None,
        retry=body.integer("retry", low=0, high=86_400, default=1),
    )
    box.ledger.plan(failure)
    return {}


def _revoke(box: "Sandbox", body: Fields) -> dict[str, str]:
    body.only("marketplace", "seller")
    marketplace, seller = body.choice("marketplace", tuple(box.marketplaces)), body.text("seller")
    box.revoke(marketplace, seller)
    return {"secret": box.credentials(marketplace, seller)}


_READS: Mapping[str, Callable[["Sandbox", Fields], object]] = {
    "/served": lambda box, _: as_rows(box.ledger.served),
    "/violations": lambda box, _: as_rows(box.ledger.violations),
    "/requests": lambda box, _: box.requests(),
    "/refused": lambda box, _: box.refused(),
    "/records": _records,
    "/clock": _now,
}
_WRITES: Mapping[str, Callable[["Sandbox", Fields], object]] = {
    "/clock": _move_clock,
    "/fail": _fail,
    "/revoke": _revoke,
}
