"""The vendors' OpenAPI documents, and what they say of a request and its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from collectors.stream import Request
from tests.conformance.schemas import Schema, Schemas

SPECS = Path(__file__).resolve().parents[3] / "shared" / "specs"
# Where a vendor's documents are, the latest last.
_DOCUMENTS = {
    "wildberries": ("wildberries/[01]*.yaml", "wildberries/addendum-*.json"),
    "ozon": ("ozon/ozon-*.normalized.json", "ozon/ozon-*-reconstructed-from-sdk.json"),
    "yandex_market": ("yandex-market/yandex-market-openapi.json",),
}
# Answers of which a document tells the fields, but in words.
_IN_WORDS = {
    "/api/client/statistics/expense/json": b'{"rows":[{"id":"1","date":"2026-10-01","title":"x","moneySpent":"6,35"}]}'
}


@dataclass(frozen=True)
class Operation:
    """One method of one path of a document."""

    document: Document
    template: str
    method: str
    path_values: Mapping[str, str]
    parameters: tuple[Schema, ...]
    node: Schema

    def faults(self, request: Request, headers: Mapping[str, str]) -> list[str]:
        """Say what the document holds against the request."""
        faults = [
            *(["deprecated: the vendor will switch it off"] if self.node.get("deprecated") else []),
            *([] if self.document.of_sdk else self._faults_of_headers(headers)),
            *self._faults_of_body(request.body),
        ]
        for place, given in (("path", self.path_values), ("query", request.query)):
            faults += self._faults_of(place, given)
        return [f"{fault} ({self.document.name})" for fault in faults]

    def example(self) -> bytes | None:
        """Return the document's own example of an answer."""
        for content in self._answers():
            for found in (content, *content.get("examples", {}).values()):
                named = self.document.schemas.resolved(found)
                for key in ("example", "value"):
                    if key in named:
                        return _written(named[key])
        return None

    def sample(self) -> bytes | None:
        """Make an answer of the schema that the document has for it."""
        schemas = [content["schema"] for content in self._answers() if "schema" in content]
        return _written(self.document.schemas.sample(schemas[0])) if schemas else None

    def _answers(self) -> Iterable[Schema]:
        answer = self.document.schemas.resolved(self.node.get("responses", {}).get("200", {}))
        return answer.get("content", {}).values()  # type: ignore[no-any-return]

    def _faults_of(self, place: str, given: Mapping[str, str | int]) -> Iterator[str]:
        declared = {one["name"]: one for one in self.parameters if one["in"] == place}
        for name, parameter in declared.items():
            if name in given:
                value = self._read(parameter, str(given[name]))
                yield from self.document.schemas.faults(parameter.get("schema", {}), value, f"{place} {name}")
            elif parameter.get("required"):
                yield f"{place} {name}: missing"
        if place == "query" and not self.document.of_news:
            yield from (f"{place} {name}: the document does not name it" for name in given if name not in declared)

    def _read(self, parameter: Schema, text: str) -> object:
        """Read a parameter's text as the type that it is declared to have."""
        schemas, schema = self.document.schemas, parameter.get("schema", {})
        if schemas.kind(schema) == "array":
            texts = [text] if parameter.get("explode", True) else text.split(",")
            return [_number(schemas.kind(schemas.items(schema)), one) for one in texts]
        return _number(schemas.kind(schema), text)

    def _faults_of_headers(self, headers: Mapping[str, str]) -> Iterator[str]:
        schemes = self.document.root.get("components", {}).get("securitySchemes", {})
        ways = [
            {schemes[name].get("name", "Authorization").lower() for name in way}
            for way in self.node.get("security", self.document.root.get("security", []))
        ]
        declared = {one["name"].lower(): one for one in self.parameters if one["in"] == "header"}
        given = {name.lower() for name in headers}
        if ways and not any(way <= given for way in ways):
            yield f"headers: signed by none of {[sorted(way) for way in ways]}"
        yield from (
            f"header {name}: missing" for name, one in declared.items() if one.get("required") and name not in given
        )
        if declared or ways:  # of some operations Ozon's document does not say how they are signed
            unnamed = given - set().union(declared, *ways)
            yield from (f"header {name}: the document does not name it" for name in unnamed)

    def _faults_of_body(self, body: object) -> list[str]:
        asked = self.document.schemas.resolved(self.node.get("requestBody", {}))
        if body is None or (body == {} and not asked):  # a POST of Ozon without parameters
            return ["body: missing"] if asked.get("required") else []
        if "application/json" not in asked.get("content", {}):
            return ["body: the document takes no JSON"]
        return self.document.schemas.faults(asked["content"]["application/json"].get("schema", {}), body, "body")


@dataclass(frozen=True)
class Document:
    """One file of a vendor. What was made from an SDK says nothing of headers; a list of news, nothing of queries."""

    name: str
    root: Mapping[str, Any] = field(repr=False)
    of_sdk: bool = False
    of_news: bool = False

    @cached_property
    def schemas(self) -> Schemas:
        return Schemas(self.root)

    @cached_property
    def hosts(self) -> frozenset[str]:
        return frozenset(host for host, *_ in self._operations)

    def find(self, request: Request) -> Operation | None:
        """Return the operation that the request asks for; of several, the one with the most literal path."""
        # Ozon Performance tells only in words that each CSV is JSON under a longer path.
        path = request.path.removesuffix("/json") if "performance" in request.host else request.path
        found = [
            Operation(self, template, method, match.groupdict(), parameters, node)
            for host, method, template, pattern, parameters, node in self._operations
            if (host, method) == (request.host, request.method) and (match := pattern.fullmatch(path))
        ]
        return min(found, key=lambda operation: operation.template.count("{"), default=None)

    @cached_property
    def _operations(self) -> list[tuple[str, str, str, re.Pattern[str], tuple[Schema, ...], Schema]]:
        return [
            (urlsplit(server["url"]).hostname or "", method.upper(), template, _pattern(template), parameters, node)
            for template, item in self.root["paths"].items()
            for method, node in item.items()
            if method in {"get", "post"}
            for server in node.get("servers", item.get("servers", self.root.get("servers", ())))
            for parameters in [
                tuple(map(self.schemas.resolved, [*item.get("parameters", ()), *node.get("parameters", ())]))
            ]
        ]


def _written(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode()


def _pattern(template: str) -> re.Pattern[str]:
    literals = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if odd % 2 else re.escape(part) for odd, part in enumerate(literals))
    )


def _number(kind: str, text: str) -> object:
    """Read a text as a number or a truth, or leave it, for the schema to refuse."""
    if kind in {"integer", "number", "boolean"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


@cache
def documents(marketplace: str) -> tuple[Document, ...]:
    """Return the documents of a vendor, the latest last."""
    files = [file for pattern in _DOCUMENTS[marketplace] for file in sorted(SPECS.glob(pattern))]
    return tuple(map(_document, files))


def _document(file: Path) -> Document:
    text = file.read_bytes()
    root = yaml.load(text, Loader=yaml.CSafeLoader) if file.suffix == ".yaml" else json.loads(text)
    if "paths" not in root:
        return Document(file.name, _openapi_of(root), of_sdk=True, of_news=True)
    return Document(file.name, root, of_sdk="reconstructed" in file.name)


def _openapi_of(addendum: Mapping[str, Any]) -> dict[str, Any]:
    """Make a document of the addendum: operations with a text, and of a few the schema of the body."""
    paths: dict[str, Any] = {}
    for name in (*addendum["new_operations_vs_2026-08-18_yaml"], *addendum["marked_deprecated"]):
        method, path = name.split(" ")
        schema = addendum["schemas"].get(f"{name} request")
        body = {} if schema is None else {"requestBody": {"content": {"application/json": {"schema": schema}}}}
        deprecated = {"deprecated": True} if name in addendum["marked_deprecated"] else {}
        paths.setdefault(path, {})[method.lower()] = {**body, **deprecated}
    # It does not say which host; by their paths these are the hosts of the documents before it.
    hosts = ("seller-analytics-api", "advert-api", "marketplace-api", "content-api", "supplies-api")
    return {"paths": paths, "servers": [{"url": f"https://{host}.wildberries.ru"} for host in hosts]}


def operations(marketplace: str, request: Request) -> tuple[list[Operation], list[str]]:
    """Return the request's operation as each document has it, and what is wrong where one does not have it."""
    every = documents(marketplace)
    found = [operation for document in every if (operation := document.find(request)) is not None]
    name = f"{request.method} {request.host}{request.path}"
    gone = [
        f"{name} is gone ({document.name})"
        for document in every
        if document.of_sdk and not document.of_news and request.host in document.hosts and not document.find(request)
    ]
    return found, gone if found else [f"{name} is in no document"]


def documented_answer(marketplace: str, request: Request, *, of_schema: bool) -> bytes | None:
    """Return what the vendor answers: an example kept beside the documents or in them, or else made of its schema."""
    found, _ = operations(marketplace, request)
    listed = _examples(marketplace)
    examples = [_IN_WORDS.get(request.path), *(listed.get(f"{one.method} {one.template}") for one in found)]
    examples += [one.example() for one in found]
    answers = [] if of_schema else examples
    return next((body for body in (*answers, *(one.sample() for one in found)) if body is not None), None)


@cache
def _examples(marketplace: str) -> Mapping[str, bytes]:
    """Return the answers kept beside the documents, by operation, as INDEX.md lists them."""
    folder = SPECS / marketplace.replace("_", "-") / "examples"
    rows = re.findall(
        r"^\|(\w+\.json)\|((?:GET|POST) [^ |]+)(?: -> 200)?(?: \([^|]*\))?\|",
        (folder / "INDEX.md").read_text("utf-8"),
        re.MULTILINE,
    )
    return {operation: (folder / name).read_bytes() for name, operation in reversed(rows)}
