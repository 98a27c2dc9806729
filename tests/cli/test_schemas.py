"""What is published of the JSON is true: each document and line of the golden files, and of every test that asks."""

import json
from pathlib import Path

import pytest
from cli.schemas import check_document, check_item, check_lines, flat_fields, item_schemas, published
from cli.test_golden import ANSWERS, GOLDEN
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator

KINDS = sorted({name.removesuffix(".json") for name in published()} - {"Envelope", "Line"})
PAGE = Path(__file__).parents[2] / "docs/json.md"


@pytest.mark.parametrize("name", published())
def test_each_schema_is_one_of_the_draft_that_it_names(name: str) -> None:
    schema = published()[name]
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    validator: type[Validator] = Draft202012Validator
    validator.check_schema(schema)


@pytest.mark.parametrize("name", [n for n in ANSWERS if n.endswith(".json")])
def test_the_golden_documents_are_as_the_schemas_say(name: str) -> None:
    check_document((GOLDEN / name).read_text())


@pytest.mark.parametrize("name", [n for n in ANSWERS if n.endswith(".ndjson")])
def test_the_golden_lines_are_as_the_schemas_say(name: str) -> None:
    check_lines((GOLDEN / name).read_text())


def test_every_kind_has_a_golden_document_and_a_place_on_the_page() -> None:
    shown = {json.loads((GOLDEN / name).read_text())["kind"] for name in ANSWERS if name.endswith(".json")}
    assert shown == set(KINDS)
    for kind in KINDS:
        assert f"(json/{kind}.json)" in PAGE.read_text()


@pytest.mark.parametrize("name", [n for n in ANSWERS if n.endswith(".json")])
def test_the_fields_of_an_item_stand_in_the_order_of_its_schema(name: str) -> None:
    document = json.loads((GOLDEN / name).read_text())
    orders = [list(schema["properties"]) for schema in item_schemas(document["kind"])]
    for item in document["items"]:
        assert any(list(item) == [f for f in order if f in item] for order in orders)


@pytest.mark.parametrize("name", [n.removesuffix(".csv") for n in ANSWERS if n.endswith(".csv")])
def test_the_columns_of_csv_are_the_fields_of_the_json(name: str) -> None:
    header = (GOLDEN / f"{name}.csv").read_text().splitlines()[0].split(",")
    kind = json.loads((GOLDEN / f"{name}.json").read_text())["kind"]
    # What sockets are counted by is as asked for.
    optional = name == "netstat-live" or kind == "CountList"
    # An object may be a cell of its own.
    fields = [list(flat_fields(s, optional=optional, whole=header)) for s in item_schemas(kind)]
    asked = [[f for f in some if f in header] for some in fields] if kind == "CountList" else fields
    assert header in asked


def test_a_field_that_is_not_published_is_noticed() -> None:
    item = json.loads((GOLDEN / "hosts.json").read_text())["items"][0]
    check_item("HostList", item)
    for wrong in ({**item, "secret": 1}, {**item, "sockets": -1}, {k: v for k, v in item.items() if k != "os"}):
        with pytest.raises(ValidationError):
            check_item("HostList", wrong)
