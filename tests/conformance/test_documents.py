"""What is wrong with a request is found: a vendor's document in small, and requests that break it in one way each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from collectors.stream import Request
from tests.conformance.documents import Document
from tests.conformance.schemas import Schemas

GOOD = Request(
    method="POST",
    host="api.test",
    path="/v1/shops/7/orders",
    query={"limit": 50, "states": "new,paid", "archived": "false"},
    body={"filter": {"since": "2026-11-01T00:00:00Z", "ids": [{"id": 1}], "note": None, "free": {"any": "thing"}}},
)
HEADERS = {"Api-Key": "…", "Client-Id": "7"}
DOCUMENT = Document(
    "small.json",
    {
        "servers": [{"url": "https://api.test:443"}],
        "security": [{"key": []}],
        "paths": {
            "/v1/shops/{shop}/orders": {
                "parameters": [{"name": "shop", "in": "path", "schema": {"type": "integer", "minimum": 1}}],
                "post": {
                    "parameters": [
                        {"$ref": "#/components/parameters/Limit"},
                        {"name": "Client-Id", "in": "header", "required": True, "schema": {"type": "string"}},
                        {
                            "name": "states",
                            "in": "query",
                            "explode": False,
                            "schema": {"type": "array", "items": {"type": "string", "enum": ["new", "paid"]}},
                        },
                        {"name": "archived", "in": "query", "schema": {"type": "boolean"}},
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Asked"}}},
                    },
                    "responses": {"200": {"content": {"application/json": {"example": {"orders": []}}}}},
                },
            },
            "/v1/shops/{shop}/{what}": {"post": {"security": []}},
            "/v1/shops": {"get": {"deprecated": True, "security": []}},
        },
        "components": {
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "Api-Key"}},
            "parameters": {
                "Limit": {
                    "name": "limit",
                    "in": "query",
                    "required": True,
                    "schema": {"type": "integer", "maximum": 50, "exclusiveMinimum": True, "minimum": 0},
                }
            },
            "schemas": {
                "Asked": {
                    "type": "object",
                    "required": ["filter"],
                    "properties": {"filter": {"allOf": [{"$ref": "#/components/schemas/Filter"}]}},
                },
                "Filter": {
                    "type": "object",
                    "properties": {
                        "since": {"type": "string", "pattern": " YYYY-MM-DDThh:mm:ssZ"},
                        "ids": {
                            "type": "array",
                            "items": {"type": "object", "properties": {"id": {"type": "integer"}}},
                        },
                        "note": {"type": "string", "nullable": True},
                        "free": {"type": "object", "additionalProperties": {"type": "string"}},
                        "day": {"type": "string", "format": "date"},
                    },
                },
            },
        },
    },
)


def faults(request: Request, headers: Mapping[str, str] = HEADERS) -> list[str]:
    operation = DOCUMENT.find(request)
    assert operation is not None
    return operation.faults(request, headers)


def test_a_request_that_the_document_describes_has_no_fault() -> None:
    assert faults(GOOD) == []


def test_an_operation_is_found_by_method_host_and_path_and_the_most_literal_one() -> None:
    found = DOCUMENT.find(GOOD)
    assert found is not None
    assert found.template == "/v1/shops/{shop}/orders"
    assert found.example() == b'{"orders": []}'
    for other in (replace(GOOD, method="GET"), replace(GOOD, host="other.test"), replace(GOOD, path=f"{GOOD.path}/")):
        assert DOCUMENT.find(other) is None


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"path": "/v1/shops/x/orders"}, "path shop"),
        ({"path": "/v1/shops/0/orders"}, "path shop"),
        ({"query": {}}, "query limit: missing"),
        ({"query": {"limit": 51}}, "query limit"),
        ({"query": {"limit": 0}}, "query limit"),
        ({"query": {"limit": "fifty"}}, "query limit"),
        ({"query": {"limit": 50, "offset": 0}}, "query offset: the document does not name it"),
        ({"query": {"limit": 50, "states": "new,lost"}}, "query states.1"),
        ({"query": {"limit": 50, "archived": "no"}}, "query archived"),
        ({"body": None}, "body: missing"),
        ({"body": {}}, "body: "),
        ({"body": {"filter": {"since": "2026-11-01"}}}, "body.filter.since"),
        ({"body": {"filter": {"day": "2026-11-31"}}}, "body.filter.day"),
        ({"body": {"filter": {"note": 1}}}, "body.filter.note"),
        ({"body": {"filter": {"free": {"any": 1}}}}, "body.filter.free.any"),
        ({"body": {"filter": {"sinse": "x"}}}, "body.filter.sinse: the document does not name it"),
        ({"body": {"filter": {"ids": [{"id": 1}, {"di": 2}]}}}, "body.filter.ids.1.di: the document does not name it"),
        ({"body": {"filter": {}, "limit": 5}}, "body.limit: the document does not name it"),
    ],
)
def test_one_fault_of_a_request_is_found_and_named(change: dict[str, Any], about: str) -> None:
    (fault,) = faults(replace(GOOD, **change))
    assert fault.startswith(about)
    assert fault.endswith("(small.json)")


@pytest.mark.parametrize(
    ("headers", "about"),
    [
        ({"Client-Id": "7"}, "headers: signed by none"),
        ({"Api-Key": "…"}, "header client-id: missing"),
        ({**HEADERS, "Token": "…"}, "header token: the document does not name it"),
    ],
)
def test_one_fault_of_the_headers_is_found_and_named(headers: dict[str, str], about: str) -> None:
    (fault,) = faults(GOOD, headers)
    assert fault.startswith(about)


def test_a_deprecated_operation_and_a_body_that_is_not_taken_are_faults() -> None:
    request = Request(method="GET", host="api.test", path="/v1/shops", body={"limit": 5})
    deprecated, body = faults(request, {})
    assert deprecated.startswith("deprecated")
    assert body.startswith("body: the document takes no JSON")


def test_an_empty_body_is_none_where_the_document_asks_for_none() -> None:
    assert faults(Request(method="POST", host="api.test", path="/v1/shops/7/goods", body={})) == []


def test_an_answer_can_be_made_of_its_schema() -> None:
    made = Schemas({"components": {"schemas": {"Row": {"properties": {"id": {"type": "integer"}}}}}}).sample(
        {
            "properties": {
                "rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}},
                "state": {"type": "string", "enum": ["done", "failed"]},
                "at": {"type": "string", "format": "date-time"},
                "more": {"type": "boolean", "example": "yes"},  # no example of its type
                "total": {"allOf": [{"type": "integer"}], "example": 7},
                "either": {"oneOf": [{"type": "number"}, {"type": "string"}]},
                "both": {"allOf": [{"$ref": "#/components/schemas/Row"}, {"properties": {"name": {"type": "string"}}}]},
            }
        }
    )
    assert made == {
        "rows": [{"id": 1}],
        "state": "done",
        "at": "2026-11-01T00:00:00Z",
        "more": False,
        "total": 7,
        "either": 1.5,
        "both": {"id": 1, "name": "text"},
    }
