"""The JSON Schemas of the contracts: well formed, true of every sample and output; and the validator's own test."""

import json
import re
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest

from json_schema import KEYWORDS, SCHEMAS, Schema, problems, read_schema
from running import ASSETS

NAMES = sorted(path.name.replace(".schema.json", "") for path in SCHEMAS.glob("*.schema.json"))
SCHEMA_OF = [  # pattern of a file in assets/, the schema that it is written to
    (r"(sample_\w+_migration|examples/\w+)\.json", "migration_spec"),
    (r"sample_inventory\.json", "inventory"),
    (r"database_schema_\w+\.json", "database_schema"),
    (r"data_profile_\w+\.json", "data_profile"),
    (r"\w*history\w*\.json", "migration_history"),
    (r"\w*config\w*\.json", "checker_config"),
    (r"expected/\w*compatibility\w*\.json", "compatibility_report"),
    (r"expected/\w*plan\.json", "migration_plan"),
    (r"expected/\w*runbook\.json", "rollback_runbook"),
]
OTHERS = r"api_\w+\.json|schemas/.*"  # OpenAPI documents have a schema of their own; the schemas are tested below


def documents() -> List[Tuple[str, str]]:
    found = []
    for path in sorted(ASSETS.rglob("*.json")):
        name = path.relative_to(ASSETS).as_posix()
        if not re.fullmatch(OTHERS, name):
            found.append((name, next((schema for pattern, schema in SCHEMA_OF if re.fullmatch(pattern, name)), "")))
    return found


@pytest.mark.parametrize("name, schema", documents())
def test_shipped_document_is_valid(name: str, schema: str) -> None:
    assert schema, f"no schema is named for assets/{name}"
    value = json.loads((ASSETS / name).read_text(encoding="utf-8"))
    assert [str(problem) for problem in problems(value, read_schema(schema))] == []


@pytest.mark.parametrize(
    "name", ["migration_spec", "database_schema", "compatibility_report", "migration_plan", "rollback_runbook"]
)
def test_contract_has_its_schema(name: str) -> None:
    assert name in NAMES


def parts(rules: Any) -> Iterator[Any]:
    """Yield a schema and every schema inside it."""
    yield rules
    if isinstance(rules, dict):
        for keyword in ("properties", "patternProperties", "$defs"):
            for inner in rules.get(keyword, {}).values():
                yield from parts(inner)
        for keyword in ("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"):
            if keyword in rules:
                yield from parts(rules[keyword])
        for keyword in ("allOf", "anyOf", "oneOf", "prefixItems"):
            for inner in rules.get(keyword, []):
                yield from parts(inner)


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_well_formed(name: str) -> None:
    """Each says what it is, each reference leads somewhere, each keyword is known, each required key is described."""
    schema = read_schema(name)
    assert schema.rules["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema.rules["title"] and schema.rules["type"] == "object"
    for rules in parts(schema.rules):
        list(problems(None, schema.at(rules)))  # raises for an unknown keyword or a reference to nowhere
        if isinstance(rules, dict) and "required" in rules and "properties" in rules:
            assert set(rules["required"]) <= set(rules["properties"])
        if isinstance(rules, dict) and "pattern" in rules:
            re.compile(rules["pattern"])


@pytest.mark.parametrize("name", NAMES)
def test_definitions_of_a_schema_are_used(name: str) -> None:
    text = (SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")
    others = "".join((SCHEMAS / f"{other}.schema.json").read_text(encoding="utf-8") for other in NAMES)
    unused = [
        key
        for key in json.loads(text).get("$defs", {})
        if f'"#/$defs/{key}"' not in text and f"#/$defs/{key}" not in others
    ]
    assert unused == []


# The validator itself: what each keyword lets through, and what it stops.

VALIDATOR_CASES = [
    ({"type": "integer"}, [1, 1.0, -3], [True, 1.5, "1", None]),
    ({"type": "number"}, [1, 1.5], [False, "1"]),
    ({"type": ["string", "null"]}, ["", None], [0, []]),
    ({"enum": [1, "a", None]}, [1, 1.0, "a", None], [True, "b"]),
    ({"const": {"a": [1]}}, [{"a": [1]}], [{"a": [True]}, {}]),
    ({"properties": {"a": {"type": "string"}}}, [{}, {"a": "x"}, {"b": 1}, 3], [{"a": 1}]),
    ({"required": ["a"]}, [{"a": None}, []], [{}]),
    (
        {"properties": {"a": {}}, "patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": False},
        [{"a": 1, "x-b": "c"}],
        [{"b": 1}, {"x-b": 1}],
    ),
    ({"additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "b"}]),
    ({"propertyNames": {"minLength": 1}}, [{"a": 1}], [{"": 1}]),
    ({"dependentRequired": {"a": ["b"]}}, [{}, {"b": 1}, {"a": 1, "b": 2}], [{"a": 1}]),
    ({"items": {"type": "string"}, "minItems": 1, "maxItems": 2}, [["a"], ["a", "b"]], [[], ["a", "b", "c"], [1]]),
    ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, [["a", 1], []], [[1], ["a", "b"]]),
    ({"contains": {"const": 3}}, [[1, 3]], [[], [1]]),
    ({"uniqueItems": True}, [[1, "1", True]], [[1, 1.0], [{"a": 1}, {"a": 1}]]),
    ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, [1, 3, "a"], [0, 4]),
    ({"anyOf": [{"type": "string"}, {"minimum": 5}]}, ["a", 6], [4]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 5}]}, [4, 5.5], [6, 4.5]),
    ({"not": {"type": "string"}}, [1], ["a"]),
    (
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}},
        [{"a": 1, "b": 1}, {"c": 1}],
        [{"a": 1}, {}],
    ),
    ({"pattern": "^[a-f0-9]+$"}, ["beef", 3], ["xyz", ""]),
    ({"minLength": 2, "maxLength": 3}, ["ab", "\U0001f600\U0001f600"], ["a", "abcd"]),
    ({"exclusiveMinimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.25}, [0.5, True], [0, 1, 0.3]),
    ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}]),
    ({"$ref": "#/$defs/id", "$defs": {"id": {"type": "string"}}}, ["a"], [1]),
    (
        {"properties": {"left": {"$ref": "#"}}, "required": ["id"]},
        [{"id": 1, "left": {"id": 2}}],
        [{"id": 1, "left": {}}],
    ),
    (False, [], [1, None]),
]


@pytest.mark.parametrize("rules, good, bad", VALIDATOR_CASES)
def test_validator_tells_good_from_bad(rules: Any, good: List[Any], bad: List[Any]) -> None:
    schema = Schema(rules, rules)
    assert [value for value in good if list(problems(value, schema))] == []
    assert [value for value in bad if not list(problems(value, schema))] == []


def test_validator_names_the_place_and_every_problem() -> None:
    rules = {"properties": {"a": {"items": {"type": "integer"}}}, "required": ["b"]}
    found = [str(problem) for problem in problems({"a": [1, "x"]}, Schema(rules, rules))]
    assert found == ['a.1: is "x", not integer', "$: lacks 'b'"]


def test_validator_refuses_keywords_that_it_does_not_know() -> None:
    with pytest.raises(NotImplementedError, match="unevaluatedProperties"):
        list(problems({}, Schema({"unevaluatedProperties": False}, {})))


def test_validator_cases_cover_every_keyword() -> None:
    text = json.dumps([case[0] for case in VALIDATOR_CASES])
    assert [keyword for keyword in KEYWORDS if f'"{keyword}"' not in text] == []


def test_samples_of_the_workflow_are_shipped() -> None:
    wanted = [
        "sample_database_migration",
        "sample_service_migration",
        "sample_infrastructure_migration",
        "database_schema_before",
        "database_schema_after",
        "api_before",
        "api_after",
    ]
    assert [name for name in wanted if not Path(ASSETS / f"{name}.json").is_file()] == []
