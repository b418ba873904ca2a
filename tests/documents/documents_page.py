"""Writes references/json_documents.md: `PYTHONPATH=tests python3 tests/documents/documents_page.py`."""

import json
import re
from typing import Any, Dict, Iterator, List, Tuple

from running import ASSETS, ROOT

PAGE = ROOT / "references" / "json_documents.md"
ORDER = {  # schema: who writes it and who reads it, as a command
    "migration_spec": "read by `migration_planner.py --input`",
    "database_schema": "written by `assets/export_schema_*.sql`, read by `compatibility_checker.py --type database`",
    "data_profile": "printed by a report's `reconciliation` queries, read by `compatibility_checker.py --type data`",
    "checker_config": "read by `compatibility_checker.py --config`",
    "migration_history": "read by `migration_planner.py --history`",
    "inventory": "read by `rollback_generator.py --inventory`",
    "compatibility_report": "written by `compatibility_checker.py`, read by `migration_planner.py --compatibility`",
    "migration_plan": "written by `migration_planner.py`, read by `rollback_generator.py --input`",
    "rollback_runbook": "written by `rollback_generator.py`",
}
HEAD = """\
# JSON documents: every key of what goes in and comes out

One section for each document, in the order in which a migration meets them. `a.b` is key `b` of the object under `a`,
`a[].b` that of each entry of the list `a`, `a.*.b` that of each value of an object whose keys are names. "always" marks
the keys that an input must have, and that an output always has. Later versions may add keys; none is renamed.

This page is written by `tests/documents/documents_page.py` from `assets/schemas/`; a test fails when it is out of date.

## Contents

"""
Rules = Dict[str, Any]
Row = Tuple[str, str, bool, str]


def title_of(text: str) -> str:
    return text[:1].upper() + text[1:].replace("_", " ")


def target(rules: Rules, whole: Rules) -> Tuple[str, Rules]:
    """Return the name of a definition that rules refer to, and the rules themselves."""
    name = rules.get("$ref", "").rpartition("/")[2]
    return (name, {**whole["$defs"][name], **{k: v for k, v in rules.items() if k != "$ref"}}) if name else ("", rules)


def has_section(name: str, whole: Rules) -> bool:
    """Say whether a definition is told in a table of its own: one that is an object with keys."""
    return bool(name) and bool(keyed(whole["$defs"][name]).get("properties"))


def keyed(rules: Rules) -> Rules:
    """Return the form of an object that has keys, when a value may also be something shorter."""
    forms = [rules, *rules.get("anyOf", []), *rules.get("oneOf", [])]
    return next((form for form in forms if form.get("properties")), rules)


def values(rules: Rules) -> str:
    """Return the listed values, `null` in words."""
    listed = rules.get("enum") or [rules["const"]]
    return ", ".join("null" if value is None else f"`{json.dumps(value).strip(chr(34))}`" for value in listed)


def bounds(rules: Rules) -> str:
    """Return the limits that tell something: not "at least 0", and no limit that only keeps nonsense out."""
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{word} {rules[key]}" for key, word in words.items() if 0 < abs(rules.get(key, 0)) < 100_000]
    return f" ({', '.join(found)})" if found else ""


def type_of(rules: Any, whole: Rules) -> str:
    """Return what a value may be, in words."""
    if rules is True or rules == {}:
        return "any"
    name, rules = target(rules, whole)
    if has_section(name, whole):
        return title_of(name)
    if "enum" in rules or "const" in rules:
        return values(rules)
    forms = rules.get("anyOf") or rules.get("oneOf")
    if forms:
        words = list(dict.fromkeys(type_of(form, whole) for form in forms))
        words = ["list of these" if word == f"list of {words[0]}" else word for word in words]
        return " or ".join(word for word in words if word != "any") or "object"
    kinds = rules.get("type", "any")
    words = [kind_of(kind, rules, whole) for kind in (kinds if isinstance(kinds, list) else [kinds])]
    return " or ".join(words) + bounds(rules)


def plain_keys(rules: Rules, whole: Rules) -> List[str]:
    """Return the keys of an object whose values are all plain and need no words: they fit into one line."""
    inner = [target(value, whole)[1] for value in rules.get("properties", {}).values()]
    tells = ("description", "properties", "items", "anyOf", "oneOf", "additionalProperties", "enum")
    plain = inner and not any(key in value for value in inner for key in tells)
    return list(rules["properties"]) if plain else []


def kind_of(kind: str, rules: Rules, whole: Rules) -> str:
    words = {"string": "text", "boolean": "true/false", "null": "null"}
    if kind == "array":
        return f"list of {type_of(rules.get('items', {}), whole)}"
    keys = plain_keys(rules, whole) if kind == "object" else []
    return f"object with {', '.join(f'`{key}`' for key in keys)}" if keys else words.get(kind, kind)


def rows_of(rules: Rules, whole: Rules, prefix: str = "") -> Iterator[Row]:
    """Yield the keys of an object and, below them, those of the objects inside it that have no table of their own."""
    rules = keyed(rules)
    for key, value in rules.get("properties", {}).items():
        name, inner = target(value, whole) if isinstance(value, dict) else ("", {})
        yield prefix + key, type_of(value, whole), key in rules.get("required", []), inner.get("description", "")
        if not has_section(name, whole):
            yield from inside(inner, whole, prefix + key)
    others = rules.get("additionalProperties")
    if isinstance(others, dict) and prefix and not rules.get("properties"):
        name, inner = target(others, whole)
        if not has_section(name, whole):
            yield from rows_of(inner, whole, f"{prefix}*.")


def inside(rules: Rules, whole: Rules, path: str) -> Iterator[Row]:
    for form in [rules, *rules.get("anyOf", []), *rules.get("oneOf", [])]:
        name, form = target(form, whole)
        if has_section(name, whole):
            continue
        name, entry = target(form["items"], whole) if isinstance(form.get("items"), dict) else ("", {})
        if entry and not has_section(name, whole) and not plain_keys(entry, whole):
            yield from rows_of(entry, whole, f"{path}[].")
        elif plain_keys(form, whole):
            continue
        elif form.get("properties") or isinstance(form.get("additionalProperties"), dict):
            yield from rows_of(form, whole, f"{path}.")


def cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def table(rules: Rules, whole: Rules) -> str:
    lines = ["| key | value | always | meaning |", "|---|---|---|---|"]
    for key, kind, always, meaning in rows_of(rules, whole):
        lines.append(f"| `{key}` | {cell(kind)} | {'yes' if always else ''} | {cell(meaning)} |")
    return "\n".join(lines) + "\n"


def section(name: str) -> str:
    """Return one document: what it is, its keys, and its parts."""
    whole = json.loads((ASSETS / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    text = f"## {whole['title']}\n\n{cell(whole.get('description', ''))}\n\n" \
           f"Schema: `assets/schemas/{name}.schema.json`; {ORDER[name]}.\n\n{table(whole, whole)}\n"
    for part, rules in whole.get("$defs", {}).items():
        if has_section(part, whole):
            words = cell(rules.get("description", ""))
            text += f"### {whole['title']}: {title_of(part)}\n\n{words + chr(10) + chr(10) if words else ''}"
            text += table(rules, whole) + "\n"
    return text


def titles() -> List[str]:
    return [json.loads((ASSETS / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))["title"]
            for name in ORDER]


def anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def page() -> str:
    contents = "".join(f"- [{title}](#{anchor(title)})\n" for title in titles())
    return (HEAD + contents + "\n" + "".join(map(section, ORDER))).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
