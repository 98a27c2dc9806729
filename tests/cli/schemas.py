"""Holds what the command line says in JSON to the schemas of docs/json, and to more: a field that they do not know is
an error here, where for others it is something that has been added.
"""

import functools
import json
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

PUBLISHED = Path(__file__).parents[2] / "docs/json"
_HEAD: dict[str, Any] = {"$ref": "Envelope.json#/$defs/head", "unevaluatedProperties": False}
_END: dict[str, Any] = {"$ref": "Envelope.json#/$defs/end"}


def published() -> dict[str, Any]:
    """Every schema by its file's name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(PUBLISHED.glob("*.json"))}


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(one) for key, one in schema.items()}
    # The head is half of a document; whoever asks for it closes the whole.
    if "properties" in schema and "api_version" not in schema["properties"]:
        closed["unevaluatedProperties"] = False
    return closed


@functools.cache
def _registry() -> "Registry[Any]":
    resources = [(name, DRAFT202012.create_resource(_closed(schema))) for name, schema in published().items()]
    return Registry[Any]().with_resources(resources)


@functools.cache
def _validator(reference: str) -> Draft202012Validator:
    schema = {"head": _HEAD, "end": _END}.get(reference, {"$ref": reference})
    return Draft202012Validator(schema, registry=_registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)


def check_document(text: str) -> None:
    """A whole answer of -o json."""
    document = json.loads(text)
    _validator(f"{document['kind']}.json").validate(document)


def check_lines(text: str) -> None:
    """A whole answer of -o ndjson."""
    head, *items, end = [json.loads(line) for line in text.splitlines()]
    _validator("head").validate(head)
    for item in items:
        check_item(head["kind"], item)
    _validator("end").validate(end)
    assert end["items"] == len(items)


def check_item(kind: str, item: dict[str, Any]) -> None:
    """One item of an answer."""
    _validator(f"{kind}.json#/$defs/item").validate(item)


def item_schemas(kind: str) -> list[dict[str, Any]]:
    """The schema of an item, or each of several that it may have."""
    item = published()[f"{kind}.json"]["$defs"]["item"]
    schemas: list[dict[str, Any]] = item.get("oneOf", [item])
    return schemas


def flat_fields(item: dict[str, Any], *, optional: bool, whole: Container[str] = ()) -> Iterator[str]:
    """Its fields in their order, with or without those that need not be there; those of an object by their path, unless
    it is to stay whole."""
    for name, schema in item["properties"].items():
        if name in item["required"] or optional:
            inner = None if name in whole else _object(schema)
            yield from (f"{name}.{one}" for one in flat_fields(inner, optional=optional)) if inner else (name,)


def _object(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The object that a field is, or may be where it is not null; None where it is something else."""
    for one in schema.get("anyOf", [schema]):
        if "properties" in one:
            found: dict[str, Any] = one
            return found
        if "$ref" in one:
            name, _, path = one["$ref"].partition("#/")
            target = functools.reduce(lambda there, key: there[key], path.split("/"), published()[name])
            if "properties" in target:
                return dict(target)
    return None
