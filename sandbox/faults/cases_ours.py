"""Ours: what goes wrong on our side, and what must not go wrong twice."""

from datetime import timedelta

from sandbox.faults.answers import Dated, Reply, close_unanswered
from sandbox.faults.case import Answers, Blame, Case, Cost, Named, Reaction, Scene, Stored, Tunnels
from sandbox.faults.proxies import closes

_OWN = "tests/faults/test_ours.py::"

CASES = (
    Case(
        name="clock-wrong",
        what="the answer's Date is more than five seconds from our clock",
        plays=(Answers(Dated(timedelta(minutes=10))), Answers(Dated(timedelta(minutes=-10)))),
        reactions=(Reaction.ALARM,),
        stored=Stored.PAGE,
    ),
    Case(
        name="another-sellers-data",
        what="an answer that names another seller: its body is dropped, for it may be another tenant's",
        plays=(Answers(Reply(200, b'{"rows": [{"id": 666}], "next": "", "seller": "somebody else"}')),),
        scene=Scene.SELLERS,
        blame=Blame.API,
        reactions=(Reaction.QUARANTINE,),
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="creation-maybe-sent",
        what="a report's creation that may have arrived: not repeated",
        plays=(Answers(close_unanswered, at="/reports/create"),),
        scene=Scene.REPORT,
        marketplace="yandex_market",
        blame=Blame.PATH,
        reactions=(Reaction.PUT_OFF,),
    ),
    Case(
        name="creation-not-sent",
        what="a report's creation that surely never left: repeated, as its poll and its file are",
        plays=(Tunnels(closes),),
        scene=Scene.REPORT,
        marketplace="yandex_market",
        blame=Blame.PROXY,
        reactions=(Reaction.OTHER, Reaction.OTHER, Reaction.PUT_OFF),
        cost=Cost.OUT,  # three requests, three points
    ),
    Case(
        name="link-elsewhere",
        what="a link to a report's file on a host that is not the marketplace's",
        plays=(
            Answers(Reply(200, b'{"state": "ready", "file": "https://elsewhere.example/7.csv"}'), at="/reports/info/"),
        ),
        scene=Scene.REPORT,
        marketplace="yandex_market",
        blame=Blame.API,
        reactions=(Reaction.QUARANTINE,),
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="valkey-down",
        what="the limits cannot be counted: nothing is fetched",
        plays=(Named(_OWN + "test_without_valkey_nothing_is_fetched"),),
        reactions=(Reaction.PUT_OFF,),
    ),
    Case(
        name="proxy-variables",
        what="HTTPS_PROXY and its like in the container: ignored",
        plays=(Named(_OWN + "test_proxy_variables_of_the_environment_are_ignored"),),
        stored=Stored.PAGE,
    ),
    Case(
        name="cancelled",
        what="a request is cancelled, anywhere: the worker stops, or loses its lease",
        plays=(Named(_OWN + "test_a_cancelled_request_leaves_nothing_behind"),),
    ),
    Case(
        name="secret-incomplete",
        what="the secret lacks a field, or holds what no header can carry",
        plays=(Named(_OWN + "test_a_secret_that_cannot_sign_pauses_the_account"),),
        blame=Blame.ACCOUNT,
        reactions=(Reaction.PAUSE_ACCOUNT,),
    ),
    Case(
        name="secret-unavailable",
        what="the secret's file or variable is not there",
        plays=(Named(_OWN + "test_a_secret_that_is_not_there_puts_off"),),
        reactions=(Reaction.PUT_OFF,),
    ),
)
