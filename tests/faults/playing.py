"""Playing a case: for as long as it is asked, and once, so that what is tried next can help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from collectors.stream import Request
from sandbox.faults.answers import Reply
from sandbox.faults.case import (
    Answers,
    Case,
    Cost,
    Greets,
    Group,
    Named,
    Nowhere,
    Play,
    Reaction,
    Scene,
    Stored,
    Tunnels,
)
from sandbox.faults.catalogue import CATALOGUE
from sandbox.faults.nowhere import nowhere
from tests.faults.ground import Ground, Seller
from tests.faults.observed import Observed, cost, observe
from tests.faults.scenes import CANARY, HOSTS
from worker.http import phases, pools

_TRYING = {Reaction.AT_ONCE, Reaction.PAUSE, Reaction.OTHER, Reaction.PLAIN}
NOTHING: Mapping[str, Any] = MappingProxyType({})
_JITTER = timedelta(seconds=10)


def cases(group: Group, wanted: Callable[[Case, Play], bool] = lambda _, __: True) -> list[object]:
    """Return every way in which the wanted cases of a group are played by the table, as parameters of a test."""
    return [
        pytest.param(case, play, id=case.name if len(case.plays) == 1 else f"{case.name}-{number}")
        for case in CATALOGUE[group]
        for number, play in enumerate(case.plays, start=1)
        if wanted(case, play) and not isinstance(play, Named)
    ]


def hasten(case: Case, monkeypatch: pytest.MonkeyPatch, *, lasting: bool = True) -> None:
    """Shorten the deadlines that end a case; less so if something good has to arrive before them."""
    if case.slow:
        monkeypatch.setattr(phases, "TUNNEL_DEADLINE", 0.15 if lasting else 0.25)
        monkeypatch.setattr(phases, "TOTAL_DEADLINE", 0.1 if lasting else 0.3)
        monkeypatch.setattr(pools, "_TIMEOUT", httpx.Timeout(0.12 if lasting else 0.2, read=0.08 if lasting else 0.2))


async def play_on(ground: Ground, case: Case, play: Play) -> Observed:
    """Play a case for as long as it is asked, or until its acts are over."""
    async with ground.group(case, play) as seller:
        with ExitStack() as stack:
            hosts = _begin(ground, case, play, seller, stack, lasting=not case.once)
            return await collected(ground, seller, hosts=hosts)


async def play_once(ground: Ground, case: Case, play: Play) -> tuple[Observed, Cost]:
    """Play a case so that it is over when we try something else; return the proxy's standing too."""
    async with ground.group(case, play) as seller:
        with ExitStack() as stack:
            hosts = _begin(ground, case, play, seller, stack, lasting=False)
            seen = await collected(ground, seller, hosts=hosts)
            return seen, await cost(ground, seller, seller.own) if seller.players else Cost.NOTHING


async def play_and_come_back(ground: Ground, case: Case, play: Play) -> tuple[Request, Request, Request]:
    """Play a case; return the first and the last request of its run, and the first of the run that follows."""
    async with ground.group(case, play) as seller:
        with ExitStack() as stack:
            hosts = _begin(ground, case, play, seller, stack, lasting=True)
            await collected(ground, seller, hosts=hosts)
            first, *_, last = _asked(ground)
            await ground.pass_waits()
            await collected(ground, seller, hosts=hosts)
            return first, last, _asked(ground)[0]


def _asked(ground: Ground) -> list[Request]:
    return [entry for entry in ground.log if isinstance(entry, Request)]


async def play_thrice(ground: Ground, case: Case, play: Play) -> Observed:
    """Play a case three times in a row against a stream of windows."""
    windows = Case(name=case.name, what=case.what, plays=case.plays, scene=Scene.WINDOWS, marketplace=case.marketplace)
    async with ground.group(windows, play) as seller:
        with ExitStack() as stack:
            hosts = _begin(ground, case, play, seller, stack, lasting=True)
            for _ in range(2):
                await collected(ground, seller, hosts=hosts)
                await ground.pass_waits()
            return await collected(ground, seller, hosts=hosts)


async def collected(
    ground: Ground,
    seller: Seller,
    *,
    hosts: Mapping[str, str] = NOTHING,
    fetching: Mapping[str, Any] = NOTHING,
    changes: Mapping[str, Any] = NOTHING,
) -> Observed:
    """Collect a seller's slice once, with what is otherwise than in `Ground.run`; return what was seen of it."""
    ground.log.clear()
    ground.api.seen.clear()
    connections = ground.api.connections
    alarms = await ground.run(seller, hosts=hosts, fetching=fetching, changes=changes)
    seen = await observe(ground, seller, alarms)
    assert CANARY not in seen.said
    assert b"666" not in seen.bytes, "what is not ours is stored"
    assert not [request for request in ground.api.seen if "cookie" in request.headers]
    if seller.players:
        tunnels = sum(len(player.asked) for player in seller.players.values())
        assert ground.api.connections - connections <= tunnels, "somebody went out directly"
    return seen


def begin(ground: Ground, play: Play | None = None, seller: Seller | None = None, *, lasting: bool = False) -> None:
    """Tell the API and the seller's proxies what to do: once, or as long as they are asked. The rest behaves."""
    ground.api.behave()
    ground.api.good["/rows"] = Reply()
    match play:
        case Answers(acts, at):
            ground.api.play(*acts, at=at, lasting=lasting)
        case Greets(greeting):
            ground.api.greet(greeting, lasting=lasting)
        case Tunnels() if seller is not None:
            ground.api.good["/rows"] = play.answer or Reply()
            for player in (seller.players[proxy] for proxy in seller.bad(lasting=lasting)):
                player.act, player.credentials, player.certificate = play.act, play.credentials, play.certificate


def _begin(
    ground: Ground, case: Case, play: Play, seller: Seller, stack: ExitStack, *, lasting: bool
) -> dict[str, str]:
    """Begin a case of the table; return where the hosts are, if not at the API."""
    begin(ground, play, seller, lasting=lasting)
    if case.scene is Scene.LAST_ROWS:
        ground.api.good["/rows"] = Reply(body=b"[]")
    match play:
        case Nowhere("API", how):
            return {HOSTS[case.marketplace]: f"https://{stack.enter_context(nowhere(how))}"}
        case Nowhere(_, how):
            for proxy in seller.bad(lasting=lasting):
                seller.addresses[proxy] = f"http://{stack.enter_context(nowhere(how))}"
    return {}


def can_help(case: Case, play: Play) -> bool:
    """Whether what is tried next may do better, so that the case is worth playing once."""
    if case.once or (isinstance(play, Nowhere) and play.of == "API"):
        return False
    return case.reactions[:1] != () and case.reactions[0] in _TRYING


def lasts_for_runs(case: Case, _: Play) -> bool:
    """Whether something else is done when it goes on for three runs."""
    return case.third is not None


def is_refused(case: Case, _: Play) -> bool:
    """Whether an answer of it is set aside."""
    return case.stored is Stored.QUARANTINE


def assert_as_told(case: Case, seen: Observed) -> None:
    """Assert that a case that lasted ended as the catalogue says."""
    assert seen.reactions == case.reactions, [*seen.reactions, seen.said]
    blame = seen.error.blame.value if seen.error is not None else "nobody"
    assert blame == case.blame.value, seen.said
    assert seen.stored is case.stored, seen.said
    if case.wait is not None:
        assert seen.wait is not None
        assert case.wait - _JITTER < seen.wait < case.wait * 1.1 + _JITTER


def assert_as_told_of_the_third(case: Case, seen: Observed) -> None:
    """Assert that what goes on for three runs makes us ask for less."""
    assert case.third is not None
    expected = (*case.reactions[:-1], case.third)
    assert seen.reactions[: len(expected)] == expected, [*seen.reactions, seen.said]


def assert_overcome(case: Case, play: Play, seen: Observed, cost: Cost) -> None:
    """Assert that a case that was over brought the page, by what the catalogue says is tried next."""
    tried = [reaction for reaction in case.reactions if reaction in _TRYING]
    of_proxy = isinstance(play, Tunnels) or (isinstance(play, Nowhere) and play.of == "proxies")
    until = tried.index(Reaction.OTHER) if of_proxy else 0  # the proxy goes on until another one is tried
    told = [*seen.reactions, seen.said]
    assert list(seen.reactions[: until + 1]) == tried[: until + 1], told
    assert set(seen.reactions) <= {*tried, Reaction.ALARM}, told
    assert seen.error is None
    assert seen.stored is (Stored.BODY if case.scene is Scene.REPORT else Stored.PAGE)  # a file is kept as it came
    assert cost is case.cost
