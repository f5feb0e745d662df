"""The schemas of an OpenAPI document as JSON Schema, and values held against them more strictly than it asks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import jsonschema_rs

_DOCUMENT = "urn:document"
Schema = Mapping[str, Any]  # as the document writes it
# What says something of a value. All else (texts, examples, the vendor's own) is left out, and so cannot be wrong.
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minProperties", "maxProperties")
_LENGTHS = ("minLength", "maxLength", "minItems", "maxItems")
_KEPT = ("type", "enum", "const", "format", "pattern", "uniqueItems", "required", *_BOUNDS, *_LENGTHS)
_SAMPLES: Mapping[str, object] = {"string": "text", "integer": 1, "number": 1.5, "boolean": False}
_TIMES: Mapping[str, str] = {"date-time": "2026-11-01T00:00:00Z", "date": "2026-11-01"}
# Ozon writes some patterns for people: " YYYY-MM-DDThh:mm:ssZ". Its examples have fractions of a second.
_FOR_PEOPLE = (("YYYY", r"[0-9]{4}"), ("MM|DD|hh|mm", "[0-9]{2}"), (r"ss(\.mcs)?Z", r"[0-9]{2}(\\.[0-9]+)?Z"))


class Schemas:
    """All schemas of one document; OpenAPI 3.0 and 3.1."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def resolved(self, node: Schema) -> Schema:
        """Follow a reference inside the document, as often as it takes."""
        while "$ref" in node:
            found: Any = self._document
            for name in node["$ref"].removeprefix("#/").split("/"):
                found = found[name.replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def faults(self, schema: Schema, value: object, at: str) -> list[str]:
        """Say what is wrong with the value: what the schema forbids, and fields that it does not name."""
        validator = jsonschema_rs.Draft202012Validator(
            _json_schema(schema), validate_formats=True, registry=self._registry
        )
        forbidden = [
            f"{'.'.join([at, *map(str, error.instance_path)])}: {error.message}"
            for error in validator.iter_errors(value)
        ]
        return [*forbidden, *self._undeclared(schema, value, at)]

    def sample(self, schema: Schema, *, depth: int = 8) -> object:
        """Make a value that the schema describes, of its own examples where it has some."""
        schema = self.resolved(schema)
        for keyword in ("example", "default"):
            if schema.get(keyword) is not None and not self.faults(schema, schema[keyword], ""):
                return schema[keyword]
        if schema.get("enum"):
            return schema["enum"][0]
        made = [self.sample(part, depth=depth) for part in schema.get("allOf", ())]
        made += [self.sample(schema[keyword][0], depth=depth) for keyword in ("anyOf", "oneOf") if schema.get(keyword)]
        if "properties" in schema:
            made.append(
                {name: self.sample(one, depth=depth - 1) for name, one in schema["properties"].items() if depth}
            )
        if made:
            parts = [part for part in made if isinstance(part, dict)]
            return {name: value for part in parts for name, value in part.items()} if parts else made[0]
        if schema.get("type") == "array":
            return [self.sample(schema["items"], depth=depth - 1)] if depth else []
        return _TIMES.get(schema.get("format", "")) or _SAMPLES.get(schema.get("type", "object"), {})

    def kind(self, schema: Schema) -> str:
        """Return the type of a parameter."""
        return next((shape["type"] for shape in self._shapes(schema) if "type" in shape), "string")

    def items(self, schema: Schema) -> Schema:
        return next((shape["items"] for shape in self._shapes(schema) if "items" in shape), {})

    @cached_property
    def _registry(self) -> jsonschema_rs.Registry:
        schemas = self._document.get("components", {}).get("schemas", {})
        made = {"components": {"schemas": {name: _json_schema(schema) for name, schema in schemas.items()}}}
        return jsonschema_rs.Registry([(_DOCUMENT, made)], draft=jsonschema_rs.Draft202012)

    def _undeclared(self, schema: Schema, value: object, at: str) -> Iterator[str]:
        shapes = list(self._shapes(schema))
        if isinstance(value, list):
            items = {"anyOf": [shape["items"] for shape in shapes if "items" in shape]}
            for index, one in enumerate(value):
                yield from self._undeclared(items, one, f"{at}.{index}")
        named = [shape["properties"] for shape in shapes if "properties" in shape]
        if not isinstance(value, dict) or not named or any(shape.get("additionalProperties") for shape in shapes):
            return
        for name, one in value.items():
            declared = [properties[name] for properties in named if name in properties]
            if not declared:
                yield f"{at}.{name}: the document does not name it"
            yield from self._undeclared({"anyOf": declared}, one, f"{at}.{name}")

    def _shapes(self, schema: Schema) -> Iterator[Schema]:
        """Yield the schemas that a value may have to do with: itself, and those it is composed of."""
        schema = self.resolved(schema)
        yield schema
        for keyword in ("allOf", "anyOf", "oneOf"):
            for part in schema.get(keyword, ()):
                yield from self._shapes(part)


def _pattern(text: str) -> str:
    for words, expression in _FOR_PEOPLE:
        text = re.sub(words, expression, text)
    return f"^{text.strip()}$"


def _json_schema(schema: Any) -> Any:
    """Make JSON Schema of 2020-12 of what OpenAPI 3.0 or 3.1 writes."""
    if not isinstance(schema, Mapping):  # additionalProperties: true
        return schema
    if "$ref" in schema:
        return {"$ref": _DOCUMENT + schema["$ref"]}
    made = {keyword: schema[keyword] for keyword in _KEPT if keyword in schema}
    if "YYYY" in made.get("pattern", ""):
        made["pattern"] = _pattern(made["pattern"])
    for keyword in ("properties", "patternProperties"):
        if keyword in schema:
            made[keyword] = {name: _json_schema(one) for name, one in schema[keyword].items()}
    for keyword in ("allOf", "anyOf", "oneOf"):
        if schema.get(keyword):
            made[keyword] = [_json_schema(one) for one in schema[keyword]]
    for keyword in ("items", "not", "additionalProperties"):
        if keyword in schema:
            made[keyword] = _json_schema(schema[keyword])
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(exclusive), bool):  # 3.0
            made |= {exclusive: made[bound]} if made.pop(exclusive) else {}
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") else made
