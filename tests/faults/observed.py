"""What was seen of a case, in the catalogue's words: only from the attempts that were made and from what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from collectors.errors import CollectError, RateLimited
from collectors.stream import Request
from sandbox.faults.api import Seen
from sandbox.faults.case import Cost, Reaction, Stored
from tests.faults.ground import Ground, Seller, Sent, Slept
from worker.http.proxies import Proxy

_RUN = """
SELECT r.outcome, a.status, s.state, s.not_before - clock_timestamp() AS wait, s.attempts,
       concat(r.error, s.last_error, a.status_reason) AS said
FROM collect.run r JOIN core.marketplace_account a ON a.id = r.marketplace_account_id
JOIN collect.stream_state s ON s.marketplace_account_id = a.id AND s.stream = r.stream AND s.lane = r.lane
WHERE a.id = $1 ORDER BY r.started_at DESC LIMIT 1
"""
_KEPT = """
SELECT count(*) FILTER (WHERE part > 0) AS parts, count(body) AS bodies, count(payload) AS pages,
       string_agg(coalesce(convert_to(payload::text, 'UTF8'), body), '') AS bytes,
       (SELECT count(*) FROM collect.quarantine q WHERE q.marketplace_account_id = $1) AS quarantined,
       (SELECT string_agg(body, '') FROM collect.quarantine q WHERE q.marketplace_account_id = $1) AS set_aside
FROM raw.payload WHERE marketplace_account_id = $1
"""

_BY_CHANCE = timedelta(minutes=20)  # no first cool-down is as long


@dataclass(frozen=True)
class Observed:
    """What happened to a slice in one run."""

    reactions: tuple[Reaction, ...]
    error: CollectError | None  # the first that the stream was told
    stored: Stored
    wait: timedelta | None
    said: str  # what people can read of it
    bytes: bytes  # all bodies that are stored, those in quarantine too


async def observe(ground: Ground, seller: Seller, alarms: Sequence[str]) -> Observed:
    """Look at what the last run did. `alarms` are those that it raised."""
    run = await ground.row(_RUN, seller)
    kept = await ground.row(_KEPT, seller)
    error = next((entry for entry in ground.log if isinstance(entry, CollectError)), None)
    ending = _ending(run, kept)
    reactions = [*steps(ground.log, ground.api.seen), *([ending] if ending else [])]
    if isinstance(error, RateLimited) and ending is Reaction.PUT_OFF and await _is_shut(ground, seller):
        reactions.append(Reaction.SHUT)
    if "a host is left alone" in alarms:
        reactions.append(Reaction.STOP)
    elif alarms:
        reactions.append(Reaction.ALARM)
    bodies = (kept["bytes"] or b"") + (kept["set_aside"] or b"")
    return Observed(tuple(reactions), error, _stored(kept), run["wait"], run["said"], bodies)


def steps(log: Sequence[object], seen: Sequence[Seen]) -> Iterator[Reaction]:
    """Tell how each attempt differs from the one before it."""
    asked: Request | None = None
    before: Sent | None = None
    slept = False
    for entry in log:
        match entry:
            case Request():
                if asked is not None and _is_half(entry, asked):
                    yield Reaction.SPLIT
                    return
                if asked is not None and _is_smaller(entry, asked):
                    yield Reaction.SMALLER
                    return
                asked, before, slept = entry, None, False
            case Slept(seconds):
                slept = slept or seconds > 0
            case Sent():
                if before is not None:
                    yield _step(before, entry, seen, slept=slept)
                before, slept = entry, False


def _step(before: Sent, now: Sent, seen: Sequence[Seen], *, slept: bool) -> Reaction:
    if _is_plain(now, seen) and not _is_plain(before, seen):
        return Reaction.PLAIN
    if now.proxy != before.proxy:
        return Reaction.OTHER
    return Reaction.PAUSE if slept else Reaction.AT_ONCE


def _is_plain(sent: Sent, seen: Sequence[Seen]) -> bool:
    return sent.number < len(seen) and seen[sent.number].headers.get("accept-encoding") == "identity"


def _is_half(request: Request, of: Request) -> bool:
    begins, ends = request.query.get("from"), request.query.get("to")
    return begins is not None and begins == of.query.get("from") and str(ends) < str(of.query.get("to"))


def _is_smaller(request: Request, of: Request) -> bool:
    limit = of.query.get("limit")
    return limit is not None and dict(request.query) == {**of.query, "limit": int(str(limit)) // 2}


def _ending(run: Any, kept: Any) -> Reaction | None:
    if run["status"] == "paused":
        return Reaction.PAUSE_ACCOUNT
    if run["state"] == "unavailable":
        return Reaction.UNAVAILABLE
    if kept["quarantined"]:
        return Reaction.QUARANTINE
    if run["outcome"] in {"done", "nothing new"}:
        return None
    assert run["wait"] is not None, run
    return Reaction.PUT_OFF


def _stored(kept: Any) -> Stored:
    if kept["quarantined"]:
        return Stored.QUARANTINE
    if kept["parts"]:
        return Stored.PARTS
    if kept["bodies"]:
        return Stored.BODY
    return Stored.PAGE if kept["pages"] else Stored.NOTHING


async def cost(ground: Ground, seller: Seller, proxy: Proxy) -> Cost:
    """Return what is held against a proxy."""
    stands = (await ground.resources.fetcher.health.standing([proxy]))[proxy.name]
    if seller.key.marketplace in stands.banned:
        return Cost.BANNED
    if stands.out_until is not None:
        left = stands.out_until - ground.resources.clock.now()
        return Cost.LONGEST if left > _BY_CHANCE else Cost.OUT
    return {0.0: Cost.NOTHING, 0.5: Cost.HALF, 1.0: Cost.POINT}[stands.faults]


async def _is_shut(ground: Ground, seller: Seller) -> bool:
    """Whether another account of the same seller, whom nothing is wrong with, is not let through either."""
    ground.api.behave()
    neighbour = await ground.neighbour(seller)
    before = len(ground.api.seen)
    await ground.run(neighbour, hosts={}, fetching={}, changes={})
    return len(ground.api.seen) == before
