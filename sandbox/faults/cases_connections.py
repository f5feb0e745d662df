"""Connections and proxies: what happens before there is an answer."""

from sandbox.faults import proxies
from sandbox.faults.answers import FIRST_OF_TWO, Reply, close_unanswered
from sandbox.faults.api import Shows, closes, hangs, speaks_no_tls
from sandbox.faults.case import Answers, Blame, Case, Cost, Greets, Named, Nowhere, Reaction, Scene, Stored, Tunnels
from sandbox.faults.nowhere import Nobody
from sandbox.faults.proxies import CutsAfter, Instead, Kind, Refuses

_NOBODY: tuple[Nobody, ...] = ("refuses", "is silent", "has no such name")
_KINDS: tuple[Kind, ...] = ("http", "https", "socks5")
_OTHERS = (Reaction.OTHER, Reaction.OTHER, Reaction.PUT_OFF)
_PATH = (Reaction.PAUSE, Reaction.OTHER, Reaction.PUT_OFF)
_AGAIN = (Reaction.PAUSE, Reaction.PAUSE, Reaction.PUT_OFF)
_LONG = Reply(200, b'{"rows": [%s], "next": ""}' % b", ".join([b'{"id": 1}'] * 20_000))

CASES = (
    Case(
        name="kept-connection-closed",
        what="a kept connection turns out to be closed when it is used again",
        plays=(Answers(Reply(200, FIRST_OF_TWO), close_unanswered),),
        scene=Scene.PAGES,
        once=True,
        reactions=(Reaction.AT_ONCE,),
        stored=Stored.PAGE,
    ),
    Case(
        name="api-not-there",
        what="the API's address refuses, is silent or has no such name; the account has no proxies",
        plays=tuple(Nowhere("API", how) for how in _NOBODY),
        direct=True,
        slow=True,
        blame=Blame.PATH,
        reactions=_AGAIN,
    ),
    Case(
        name="api-without-tls",
        what="TLS with the API hangs, is closed or is something else; the account has no proxies",
        plays=(Greets(hangs), Greets(closes), Greets(speaks_no_tls)),
        direct=True,
        slow=True,
        blame=Blame.PATH,
        reactions=_AGAIN,
    ),
    Case(
        name="api-certificate",
        what="the API shows a certificate that is not trusted, of another name, or expired",
        plays=(
            Greets(Shows("of an unknown authority")),
            Greets(Shows("of another name")),
            Greets(Shows("expired")),
        ),
        direct=True,
        blame=Blame.API,
        reactions=(*_AGAIN, Reaction.ALARM),
    ),
    Case(
        name="certificate-in-every-tunnel",
        what="the same through proxies: all of them show it, so it is the API, or all are tapped",
        plays=(Greets(Shows("of an unknown authority")), Greets(Shows("expired"))),
        blame=Blame.PATH,
        reactions=(*_OTHERS, Reaction.ALARM),
        cost=Cost.LONGEST,
    ),
    Case(
        name="certificate-in-one-tunnel",
        what="a proxy that shows a certificate of its own in the tunnel: it listens in",
        plays=(Tunnels(Instead(Shows("of an unknown authority"))), Tunnels(Instead(Shows("of another name")))),
        blame=Blame.PATH,
        reactions=(*_OTHERS, Reaction.ALARM),
        cost=Cost.LONGEST,
    ),
    Case(
        name="proxy-certificate",
        what="a proxy spoken to by TLS shows a certificate that is not trusted",
        plays=(Tunnels(kind="https", certificate="of an unknown authority"),),
        blame=Blame.PROXY,
        reactions=(*_OTHERS, Reaction.ALARM),
        cost=Cost.LONGEST,
    ),
    Case(
        name="proxy-not-there",
        what="the proxy's address refuses, is silent or has no such name",
        plays=tuple(Nowhere("proxies", how) for how in _NOBODY),
        slow=True,
        blame=Blame.PROXY,
        reactions=_OTHERS,
        cost=Cost.POINT,
    ),
    Case(
        name="proxy-hangs",
        what="the proxy says nothing, at once or when it was told where to go",
        plays=(
            Tunnels(proxies.hangs),
            Tunnels(proxies.hangs_at_once, "https"),
            Tunnels(proxies.hangs_at_once, "socks5"),
            Tunnels(proxies.hangs, "socks5"),
        ),
        slow=True,
        blame=Blame.PROXY,
        reactions=_OTHERS,
        cost=Cost.POINT,
    ),
    Case(
        name="proxy-closes",
        what="the proxy closes, or answers with something else",
        plays=(Tunnels(proxies.closes), Tunnels(proxies.closes, "socks5"), Tunnels(proxies.speaks_no_http)),
        blame=Blame.PROXY,
        reactions=_OTHERS,
        cost=Cost.POINT,
    ),
    Case(
        name="proxy-password",
        what="407 or SOCKS5's own refusal: the proxy's password is wrong; 402: it is not paid",
        plays=(
            Tunnels(Refuses(407)),
            Tunnels(Refuses(402)),
            Tunnels(credentials=("ann", "another")),
            Tunnels(kind="socks5", credentials=("ann", "another")),
        ),
        blame=Blame.PROXY,
        reactions=_OTHERS,
        cost=Cost.LONGEST,
    ),
    Case(
        name="proxy-forbids",
        what="403 from the proxy: it will not go there; 429: not now",
        plays=(Tunnels(Refuses(403)), Tunnels(Refuses(429))),
        blame=Blame.PROXY,
        reactions=_OTHERS,
        cost=Cost.OUT,
    ),
    Case(
        name="proxy-gateway",
        what="502, 503 or 504 from the proxy: it, or what lies behind it",
        plays=(Tunnels(Refuses(502)), Tunnels(Refuses(503)), Tunnels(Refuses(504))),
        blame=Blame.PROXY,
        reactions=_OTHERS,
        cost=Cost.HALF,
    ),
    Case(
        name="socks-refusal",
        what="a SOCKS5 reply that is not success: host unreachable, connection refused",
        plays=(Tunnels(Refuses(4), "socks5"), Tunnels(Refuses(5), "socks5")),
        blame=Blame.PROXY,
        reactions=_OTHERS,
        cost=Cost.POINT,
    ),
    Case(
        name="tunnel-without-tls",
        what="the tunnel is there, and in it TLS hangs, is closed or is something else",
        plays=(
            Tunnels(Instead(hangs)),
            Tunnels(Instead(closes)),
            Tunnels(Instead(speaks_no_tls)),
            Tunnels(Instead(hangs), "socks5"),
        ),
        slow=True,
        blame=Blame.PROXY,
        reactions=_OTHERS,
        cost=Cost.POINT,
    ),
    Case(
        name="tunnel-cut",
        what="the tunnel is closed in the middle of a body",
        plays=(Tunnels(CutsAfter(40_000), answer=_LONG), Tunnels(CutsAfter(40_000), "socks5", answer=_LONG)),
        blame=Blame.PATH,
        reactions=_PATH,
        cost=Cost.POINT,  # half a point each time
    ),
    Case(
        name="tunnel-drips",
        what="the tunnel brings the answer a few bytes at a time, for ever",
        plays=(Tunnels(proxies.drips, answer=_LONG),),
        slow=True,
        blame=Blame.PATH,
        reactions=_PATH,
        cost=Cost.POINT,  # half a point each time
    ),
    Case(
        name="proxies-work",
        what="nothing: HTTP, HTTPS and SOCKS5 proxies with a password",
        plays=tuple(Tunnels(kind=kind, credentials=proxies.WORDS) for kind in _KINDS),
        stored=Stored.PAGE,
    ),
    Case(
        name="proxies-out",
        what="every proxy of a group fails: half of it at most is out, and nothing ever goes out directly",
        plays=(Named("tests/faults/test_ours.py::test_a_group_is_never_emptied_and_never_by_passed"),),
        blame=Blame.PROXY,
        reactions=_OTHERS,
    ),
    Case(
        name="group-of-one",
        what="the only proxy of a group fails: there is no other, so it is never out",
        plays=(Named("tests/faults/test_ours.py::test_the_only_proxy_of_a_group_is_used_again_as_soon_as_it_works"),),
        blame=Blame.PROXY,
        reactions=(Reaction.PUT_OFF,),
    ),
    Case(
        name="group-empty",
        what="the account's group has no proxy: nothing goes out directly",
        plays=(Named("tests/faults/test_ours.py::test_a_group_without_a_proxy_puts_off"),),
        reactions=(Reaction.PUT_OFF,),
    ),
    Case(
        name="no-free-connection",
        what="no connection of our pool is free in time: its transport is replaced",
        plays=(Named("tests/faults/test_ours.py::test_no_free_connection_is_nobodys_but_ours"),),
        blame=Blame.US,
        reactions=(Reaction.PUT_OFF,),
    ),
)
