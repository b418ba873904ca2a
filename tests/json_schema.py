"""A small JSON Schema validator (draft 2020-12) for the tests: it refuses keywords that it does not know."""

import json
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple

SCHEMAS = Path(__file__).resolve().parent.parent / "assets" / "schemas"
ANNOTATIONS = {
    "$schema",
    "$id",
    "$defs",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "format",
}
SIBLINGS = {"then", "else"}  # read by the keyword that they belong to


class Problem(NamedTuple):
    """One place of a document that its schema does not allow."""

    path: Tuple[Any, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path)) or '$'}: {self.message}"


class Schema(NamedTuple):
    """A schema and the document that its references start from."""

    rules: Any
    root: Any

    def at(self, rules: Any) -> "Schema":
        return Schema(rules, self.root)


def read_schema(name: str) -> Schema:
    """Return assets/schemas/NAME.schema.json."""
    rules = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return Schema(rules, rules)


def problems(value: Any, schema: Schema, path: Tuple[Any, ...] = ()) -> Iterator[Problem]:
    """Yield every way in which a value does not fit a schema."""
    if isinstance(schema.rules, bool):
        if not schema.rules:
            yield Problem(path, "is not allowed")
        return
    for keyword, rule in schema.rules.items():
        if keyword in KEYWORDS:
            yield from KEYWORDS[keyword](value, rule, schema, path)
        elif keyword not in ANNOTATIONS | SIBLINGS:
            raise NotImplementedError(f"the schema uses {keyword!r}, which this validator does not know")


def fits(value: Any, schema: Schema) -> bool:
    return next(problems(value, schema), None) is None


def is_type(value: Any, name: str) -> bool:
    if name == "integer":
        return not isinstance(value, bool) and (
            isinstance(value, int) or isinstance(value, float) and value.is_integer()
        )
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}[name])


def same(one: Any, other: Any) -> bool:
    """Compare as JSON does: 1 equals 1.0, but not true."""
    if isinstance(one, (list, dict)) or isinstance(one, bool) or isinstance(other, bool):
        return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    return one == other


def check_type(value: Any, rule: Any, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    names = rule if isinstance(rule, list) else [rule]
    if not any(is_type(value, name) for name in names):
        yield Problem(path, f"is {json.dumps(value)[:60]}, not {' or '.join(names)}")


def check_enum(value: Any, rule: Any, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    if not any(same(value, choice) for choice in rule):
        yield Problem(path, f"is {json.dumps(value)[:60]}, not one of {json.dumps(rule)}")


def check_const(value: Any, rule: Any, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    yield from check_enum(value, [rule], schema, path)


def check_ref(value: Any, rule: str, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    file, _, pointer = rule.partition("#")
    start = read_schema(file.replace(".schema.json", "")) if file else schema
    rules = start.root
    for step in pointer.strip("/").split("/") if pointer else []:
        rules = rules[step.replace("~1", "/").replace("~0", "~")]
    yield from problems(value, start.at(rules), path)


def check_properties(value: Any, rule: Dict[str, Any], schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    for key, rules in rule.items() if isinstance(value, dict) else ():
        if key in value:
            yield from problems(value[key], schema.at(rules), path + (key,))


def check_pattern_properties(
    value: Any, rule: Dict[str, Any], schema: Schema, path: Tuple[Any, ...]
) -> Iterator[Problem]:
    for key in value if isinstance(value, dict) else ():
        for pattern, rules in rule.items():
            if re.search(pattern, key):
                yield from problems(value[key], schema.at(rules), path + (key,))


def check_additional(value: Any, rule: Any, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    known = schema.rules.get("properties", {})
    for key in value if isinstance(value, dict) else ():
        if key not in known and not any(
            re.search(pattern, key) for pattern in schema.rules.get("patternProperties", {})
        ):
            yield from problems(value[key], schema.at(rule), path + (key,))


def check_property_names(value: Any, rule: Any, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    for key in value if isinstance(value, dict) else ():
        yield from problems(key, schema.at(rule), path + (key,))


def check_required(value: Any, rule: List[str], schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    for key in rule if isinstance(value, dict) else ():
        if key not in value:
            yield Problem(path, f"lacks {key!r}")


def check_dependent_required(
    value: Any, rule: Dict[str, List[str]], schema: Schema, path: Tuple[Any, ...]
) -> Iterator[Problem]:
    for key, needed in rule.items() if isinstance(value, dict) else ():
        if key in value:
            yield from check_required(value, needed, schema, path)


def check_items(value: Any, rule: Any, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    first = len(schema.rules.get("prefixItems", ()))
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if index >= first:
            yield from problems(item, schema.at(rule), path + (index,))


def check_prefix_items(value: Any, rule: List[Any], schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    for index, (item, rules) in enumerate(zip(value, rule) if isinstance(value, list) else ()):
        yield from problems(item, schema.at(rules), path + (index,))


def check_contains(value: Any, rule: Any, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    if isinstance(value, list) and not any(fits(item, schema.at(rule)) for item in value):
        yield Problem(path, "holds no item of the kind that it must hold")


def check_unique_items(value: Any, rule: bool, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    if rule and isinstance(value, list):
        for index, item in enumerate(value):
            if any(same(item, earlier) for earlier in value[:index]):
                yield Problem(path + (index,), "stands twice in the list")


def check_all_of(value: Any, rule: List[Any], schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    for rules in rule:
        yield from problems(value, schema.at(rules), path)


def check_any_of(value: Any, rule: List[Any], schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    tried = [list(problems(value, schema.at(rules), path)) for rules in rule]
    if all(tried):
        yield Problem(path, "fits none of the alternatives: " + " / ".join(str(found[0]) for found in tried))


def check_one_of(value: Any, rule: List[Any], schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    count = sum(fits(value, schema.at(rules)) for rules in rule)
    if count > 1:
        yield Problem(path, f"fits {count} alternatives, expected one")
    elif count == 0:
        yield from check_any_of(value, rule, schema, path)


def check_not(value: Any, rule: Any, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    if fits(value, schema.at(rule)):
        yield Problem(path, "fits what it must not fit")


def check_if(value: Any, rule: Any, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    branch = "then" if fits(value, schema.at(rule)) else "else"
    yield from problems(value, schema.at(schema.rules.get(branch, True)), path)


def check_pattern(value: Any, rule: str, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
    if isinstance(value, str) and not re.search(rule, value):
        yield Problem(path, f"is {value[:60]!r}, which does not match {rule}")


def bound(
    kind: Any, measure: Callable[[Any], Any], holds: Callable[[Any, Any], bool], words: str
) -> Callable[..., Iterator[Problem]]:
    """Return the check of one limit: its kind of value, what is measured, the comparison that must hold."""

    def check(value: Any, rule: Any, schema: Schema, path: Tuple[Any, ...]) -> Iterator[Problem]:
        if isinstance(value, kind) and not isinstance(value, bool) and not holds(measure(value), rule):
            yield Problem(path, f"is {json.dumps(value)[:60]}, {words} {rule}")

    return check


NUMBER = (int, float)
KEYWORDS: Dict[str, Callable[[Any, Any, Schema, Tuple[Any, ...]], Iterator[Problem]]] = {
    "type": check_type,
    "enum": check_enum,
    "const": check_const,
    "$ref": check_ref,
    "properties": check_properties,
    "patternProperties": check_pattern_properties,
    "additionalProperties": check_additional,
    "propertyNames": check_property_names,
    "required": check_required,
    "dependentRequired": check_dependent_required,
    "items": check_items,
    "prefixItems": check_prefix_items,
    "contains": check_contains,
    "uniqueItems": check_unique_items,
    "allOf": check_all_of,
    "anyOf": check_any_of,
    "oneOf": check_one_of,
    "not": check_not,
    "if": check_if,
    "pattern": check_pattern,
    "minimum": bound(NUMBER, lambda value: value, lambda value, limit: value >= limit, "less than"),
    "maximum": bound(NUMBER, lambda value: value, lambda value, limit: value <= limit, "more than"),
    "exclusiveMinimum": bound(NUMBER, lambda value: value, lambda value, limit: value > limit, "not above"),
    "exclusiveMaximum": bound(NUMBER, lambda value: value, lambda value, limit: value < limit, "not below"),
    "multipleOf": bound(NUMBER, lambda value: value, lambda value, step: value % step == 0, "no multiple of"),
    "minLength": bound(str, len, lambda size, limit: size >= limit, "shorter than"),
    "maxLength": bound(str, len, lambda size, limit: size <= limit, "longer than"),
    "minItems": bound(list, len, lambda size, limit: size >= limit, "fewer items than"),
    "maxItems": bound(list, len, lambda size, limit: size <= limit, "more items than"),
    "minProperties": bound(dict, len, lambda size, limit: size >= limit, "fewer keys than"),
    "maxProperties": bound(dict, len, lambda size, limit: size <= limit, "more keys than"),
}
