"""How a request is written from a walk and where it stands."""

from __future__ import annotations

from collectors.paging import get, post
from collectors.stream import Request
from tests.unit.collectors.scripted import WALK


def test_get_asks_with_the_cursor_unless_told_otherwise() -> None:
    assert get("api.test", "/rows")(WALK, {"offset": 3}) == Request(
        method="GET", host="api.test", path="/rows", query={"offset": 3}
    )


def test_a_path_may_be_of_the_walk_and_none_leaves_a_parameter_out() -> None:
    ask = get("api.test", lambda walk, _: f"/sellers/{walk.seller}", lambda _, at: {"token": at["cursor"] or None})
    assert ask(WALK, {"cursor": ""}) == Request(method="GET", host="api.test", path="/sellers/7")
    assert ask(WALK, {"cursor": "x"}).query == {"token": "x"}


def test_post_has_a_body_and_perhaps_a_query() -> None:
    ask = post(
        "api.test",
        "/rows",
        lambda _, at: {"filter": {"archived": None}, "cursor": at["cursor"] or None},
        query=lambda _, __: {"limit": 5, "token": None},
        repeatable=False,
    )
    asked = ask(WALK, {"cursor": ""})
    assert (asked.method, asked.query, asked.repeatable) == ("POST", {"limit": 5}, False)
    assert asked.body == {"filter": {"archived": None}}, "only a top-level field is left out"


def test_what_is_stored_of_a_request_says_what_was_asked_and_nothing_of_the_credentials() -> None:
    stored = post("api.test", "/rows")(WALK, {"cursor": "x"}).stored()
    assert stored == {"method": "POST", "host": "api.test", "path": "/rows", "query": {}, "body": {"cursor": "x"}}
