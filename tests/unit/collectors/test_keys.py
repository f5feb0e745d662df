"""What a key says of itself, and what a marketplace says of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from collectors.errors import Malformed
from collectors.keys import Knowledge, first_request, ignored, refused_streams
from collectors.ozon.api import told_of_roles
from collectors.ozon.performance import PERFORMANCE
from collectors.registry import STREAMS, find_marketplace
from collectors.stream import Answer, Request
from collectors.wildberries.api import knows
from tests.unit.collectors.scripted import NOW
from tests.unit.collectors.tokens import BASE, TEST, token

SELLER, OTHER = "6f2c1b0e-0000-4000-8000-000000000001", "6f2c1b0e-0000-4000-8000-000000000002"
SOON, LATER = NOW + timedelta(days=3), NOW + timedelta(days=100)
CONTENT, STATISTICS, FINANCE, READ_ONLY = 1, 5, 13, 30
CATEGORIES = (
    *("statistics", "content", "prices", "finance", "analytics", "feedbacks", "promotion", "marketplace"),
    *("supplies", "returns", "documents"),
)


def refused(known: Knowledge, marketplace: str = "wildberries") -> dict[str, str]:
    return dict(refused_streams(known, STREAMS[marketplace].values(), seller="1", now=NOW))


def roles(*, expires_at: str | None = "2027-02-18T09:54:23.296Z", **methods: list[str]) -> Answer:
    told = {"expires_at": expires_at, "roles": [{"name": name, "methods": paths} for name, paths in methods.items()]}
    request = Request(method="POST", host="api-seller.ozon.ru", path="/v1/roles", body={})
    return Answer(request=request, status=200, headers={}, body=json.dumps(told).encode(), fetched_at=NOW)


def test_a_token_tells_its_type_its_seller_and_its_end() -> None:
    known = knows({"token": token(CONTENT, READ_ONLY, sid=SELLER, exp=SOON.timestamp())})
    assert (known.kind, known.sellers, known.expires_at) == (
        "personal, read only",
        frozenset({SELLER}),
        SOON,
    )


def test_the_token_that_signs_a_request_says_what_that_may_be() -> None:
    """The one for all lacks finance, but there is another for that."""
    known = knows(
        {
            "token": token(STATISTICS, sid=SELLER, exp=LATER.timestamp()),
            "finance": token(FINANCE, sid=OTHER, exp=SOON.timestamp(), acc=BASE),
        }
    )
    refusals = refused(known)
    assert not {"orders", "sales", "fin_detail", "balance", "tariffs_box", "seller_info"} & refusals.keys()
    assert refusals["cards"] == "the token lacks the category content: make one that has it"
    assert refusals["fin_reports"] == "a base token cannot have this stream: make a personal or service one"
    assert (known.kind, known.sellers, known.expires_at) == (
        "base; personal",
        frozenset({SELLER, OTHER}),
        SOON,
    )


def test_a_test_token_has_no_stream() -> None:
    assert refused(knows({"token": token(acc=TEST)})).keys() == STREAMS["wildberries"].keys()


@pytest.mark.parametrize(
    "secret",
    [{}, {"token": "canary"}, {"token": "a.b.c"}, {"token": token(acc=77)}, {"token": token(s="all", exp="never")}],
)
def test_what_cannot_be_read_refuses_nothing(secret: dict[str, str]) -> None:
    known = knows(secret)
    assert not refused(known)
    assert not any((known.kind, known.expires_at, known.sellers))


def test_a_token_from_before_there_were_types_tells_the_rest() -> None:
    known = knows({"token": token(CONTENT, acc=0, exp=SOON.timestamp(), sid=SELLER)})
    assert known.expires_at == SOON
    assert "cards" not in refused(known)
    assert "orders" in refused(known)


def test_what_asks_by_ids_or_names_its_report_is_refused_with_the_rest_of_its_category() -> None:
    refusals = refused(knows({"token": token(STATISTICS)}))
    assert {"adv_stats", "adv_clusters", "search_texts", "fbs_order_status", "nm_report"} <= refusals.keys()
    assert "product_info" in refused(told_of_roles(roles(Goods=["/v3/product/list"])), "ozon")


def test_roles_of_ozon_tell_which_methods_may_be_called_and_until_when() -> None:
    known = told_of_roles(roles(FBS=["/v4/posting/fbs/list"], Goods=["/v3/product/list"]))
    refusals = refused(known, "ozon")
    advertising = {name for name in STREAMS["ozon"] if name.startswith("perf_")}  # has keys of its own
    assert STREAMS["ozon"].keys() - refusals.keys() == {"fbs_postings", "products"} | advertising
    assert "no role of the key may call /v1/returns/list" in refusals["returns"]
    assert known.expires_at == datetime(2027, 2, 18, 9, 54, 23, 296000, UTC)


def test_roles_of_the_sellers_key_say_nothing_of_advertising_which_has_keys_of_its_own() -> None:
    request = Request(method="GET", host=PERFORMANCE, path="/api/client/campaign")
    assert told_of_roles(roles(FBS=["/v4/posting/fbs/list"])).lacks(STREAMS["ozon"]["perf_campaigns"], request) == ""


@pytest.mark.parametrize("methods", [{"Admin": ["/v1/actions"]}, {"Admin read only": ["/v1/actions"]}, {}])
def test_an_administrators_role_and_an_empty_list_refuse_nothing(methods: dict[str, list[str]]) -> None:
    known = told_of_roles(roles(expires_at=None, **methods))
    assert (refused(known, "ozon"), known.expires_at) == ({}, None)


def test_roles_that_moved_are_an_error() -> None:
    with pytest.raises(Malformed):
        told_of_roles(roles(expires_at="soon"))


def test_every_stream_shows_what_it_asks_first() -> None:
    for streams in STREAMS.values():
        for stream in streams.values():
            request = first_request(stream, seller="1", now=NOW)
            assert request is not None
            assert request.host in find_marketplace(stream.marketplace.name).hosts


def told_of(marketplace: str, *names: str) -> list[tuple[str, bool]]:
    found = ignored(find_marketplace(marketplace), dict.fromkeys(names, "canary"))
    return [(name.words, name.misspelt) for name in found]


def test_a_misspelt_name_in_a_secret_is_told_with_the_one_that_was_meant() -> None:
    assert told_of("wildberries", "token", "promotoin", "Finance") == [
        ("'Finance' in the secret is ignored: call it 'finance'", True),
        ("'promotoin' in the secret is ignored: call it 'promotion'", True),
    ]
    assert told_of("ozon", "client_id", "api_key", "perf_client_secret", "perf_clientid") == [
        ("'perf_clientid' in the secret is ignored: call it 'perf_client_id'", True),
    ]
    assert told_of("wildberries", "token", *(name for name in CATEGORIES)) == []


def test_a_name_that_is_like_none_or_may_be_a_key_itself_is_only_said_to_be_ignored() -> None:
    ((comment, misspelt),) = told_of("yandex_market", "token", "comment")
    assert comment == "'comment' in the secret is ignored: yandex_market has token"
    assert not misspelt
    swapped = token(CONTENT)
    ((words, misspelt),) = told_of("wildberries", "token", swapped)
    assert words.startswith(f"a name of {len(swapped)} characters in the secret is ignored: wildberries has token, ")
    assert swapped[:8] not in words
    assert not misspelt
    ((words, misspelt),) = told_of("wildberries", "token", "promotion", "promotions")
    assert not misspelt, "the one that it is like is there"
