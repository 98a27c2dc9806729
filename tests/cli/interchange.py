"""Holds what the command line says in formats that others defined to their schemas: SARIF 2.1.0, and JUnit's reports.

interchange_schemas/README.md says where these come from.
"""

import functools
import json
from pathlib import Path

import xmlschema
from jsonschema import Draft4Validator

_SCHEMAS = Path(__file__).parent / "interchange_schemas"


@functools.cache
def _sarif() -> Draft4Validator:
    schema = json.loads((_SCHEMAS / "sarif-2.1.0-rtm.5.json").read_text())
    return Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)


@functools.cache
def _junit() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(_SCHEMAS / "junit-10.xsd")


def check_sarif(text: str) -> None:
    """A whole answer of -o sarif; what is wrong is raised."""
    _sarif().validate(json.loads(text))


def check_junit(text: str) -> None:
    """A whole answer of -o junit; what is wrong is raised."""
    _junit().validate(text)
