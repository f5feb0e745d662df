"""What a key may do, as we read it, agrees with what the vendors' documents say of each operation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from collectors.keys import first_request, refused_streams
from collectors.registry import STREAMS, find_marketplace
from collectors.stream import Answer, Stream
from collectors.wildberries.api import knows
from tests.conformance.documents import SPECS, operations
from tests.unit.collectors.scripted import NOW
from tests.unit.collectors.tokens import BASE, PERSONAL, SERVICE, token

pytestmark = pytest.mark.skipif(not SPECS.is_dir(), reason="the vendors' documents are not beside this checkout")

# The documents' word for a category → its bit in a token.
BITS = {
    "content": 1,
    "contentanalytics": 2,
    "discountsandprices": 3,
    "marketplace": 4,
    "statistics": 5,
    "advert": 6,
    "questionsandfeedback": 7,
    "supplies": 10,
    "returns": 11,
    "documents": 12,
    "finance": 13,
}
TYPES = {"base": BASE, "personal": PERSONAL, "service": SERVICE}


def of(marketplace: str) -> list[Any]:
    return [pytest.param(stream, id=name) for name, stream in STREAMS[marketplace].items()]


def described(stream: Stream, word: str) -> Any:
    """What the documents say under this word of the operation that a stream asks first; None if none of them does."""
    request = first_request(stream, seller="1", now=NOW)
    assert request is not None
    found, missing = operations(stream.marketplace.name, request)
    assert found, missing
    return next((operation.node[word] for operation in found if word in operation.node), None)


def may_have(stream: Stream, secret: Mapping[str, str]) -> bool:
    return not refused_streams(knows(secret), [stream], seller="1", now=NOW)


@pytest.mark.parametrize("stream", of("wildberries"))
def test_a_token_of_wildberries_has_the_streams_of_its_categories_and_its_type(stream: Stream) -> None:
    category, types = described(stream, "x-category"), described(stream, "x-token-types")
    if category is not None:
        bit = BITS.get(category)
        others = [other for other in BITS.values() if other != bit]
        assert may_have(stream, {"token": token(*others)}) == (bit is None)
        assert may_have(stream, {"token": token(bit or 1)})
    if category is not None or types is not None:
        allowed = {name for name, acc in TYPES.items() if may_have(stream, {"token": token(acc=acc)})}
        assert allowed == (set(TYPES) if types is None else set(TYPES) & set(types))


@pytest.mark.parametrize("stream", of("yandex_market"))
def test_a_key_of_yandex_market_has_the_streams_of_its_scopes(stream: Stream) -> None:
    scopes: list[str] = described(stream, "x-auth-scopes")
    every = {scope for one in STREAMS["yandex_market"].values() for scope in described(one, "x-auth-scopes")}
    for scope in every:
        told = scope.upper().replace("-", "_").replace(":", "_")
        body = json.dumps({"status": "OK", "result": {"apiKey": {"name": "ours", "authScopes": [told]}}}).encode()
        preflight = find_marketplace("yandex_market").preflight
        assert preflight is not None
        answer = Answer(request=preflight.request, status=200, headers={}, body=body, fetched_at=NOW)
        refused = refused_streams(preflight.read(answer), [stream], seller="1", now=NOW)
        # What is open for writing is open for reading, whether the documents say so or not.
        allowed = scope in scopes or f"{scope}:read-only" in scopes
        assert bool(refused) != allowed, scope


@pytest.mark.parametrize("marketplace", list(STREAMS))
def test_the_question_about_a_key_is_one_of_the_vendors(marketplace: str) -> None:
    found = find_marketplace(marketplace)
    assert found.preflight is not None
    request = found.preflight.request
    headers = found.sign(dict.fromkeys(found.secret_fields, "1"), request)
    documented, missing = operations(marketplace, request)
    assert documented
    assert missing + [fault for operation in documented for fault in operation.faults(request, headers)] == []
    example = next(body for operation in documented if (body := operation.example() or operation.sample()))
    answer = Answer(request=request, status=200, headers={}, body=example, fetched_at=NOW)
    assert found.preflight.read(answer).lacks is not None
