"""Reports for the tests of formats: of the samples, of a document full of hostile names, of a huge change."""

import json
from typing import Any, Dict, List, Optional

import compatibility_checker as checker
from running import ASSETS

HOSTILE = [
    "a\"; rm -rf ~ #", "$(touch /tmp/ma_pwned)", "`id`", "x' OR '1'='1", "a\nb", "a\r\n::error::x", "</details><b>",
    "|pipe|", "a]]>b", "50%", "a:b,c", "-- --", "../../etc/passwd", "\u202eabc", "\x1b[31mred", "*_~#@team", "é" * 20,
    "\\", "a\tb", "select", "https://evil.example", "[x](http://y)", "{{name}}", "@words@", "\ufffe",
]


def document(value: Any, name: str) -> checker.Document:
    import hashlib
    text = json.dumps(value, indent=1)
    return checker.Document(name, text, json.loads(text), hashlib.sha256(text.encode("utf-8")).hexdigest())


def report(before: Any, after: Any, kind: str = "database", config: Optional[Dict[str, Any]] = None,
           names: Any = ("before.json", "after.json"), **options: Any) -> Dict[str, Any]:
    """Return the report of two documents, as main makes it."""
    inputs = [document(value, name) for value, name in zip((before, after), names)]
    settings = checker.read_settings(checker.read_config(document(config or {}, "config.json")), None)
    comparison = checker.COMPARERS[kind](*inputs, checker.Options(**options))
    return checker.assemble(kind, comparison, inputs, settings)


def sample(kind: str = "database", **more: Any) -> Dict[str, Any]:
    stem = {"database": "database_schema", "api": "api"}[kind]
    sides = [json.loads((ASSETS / f"{stem}_{side}.json").read_text("utf-8")) for side in ("before", "after")]
    return report(*sides, kind, names=[f"assets/{stem}_{side}.json" for side in ("before", "after")], **more)


def schema(*tables: str, **columns: Any) -> Dict[str, Any]:
    fields = {"id": {"type": "bigint", "nullable": False, "primary_key": True}, **columns}
    return {"tables": {name: {"columns": fields} for name in tables}}


def hostile(dialect: str = "postgresql") -> Dict[str, Any]:
    """Return a report in which every name, comment and path tries to be markup or code."""
    names = [name for name in HOSTILE if "\x1b" not in name]
    before = schema("plain", **{name: {"type": "text"} for name in names})
    after = schema("plain", *names, **{name[::-1] + "!": {"type": "text", "comment": name} for name in names})
    paths = ["-before.json", "dir/a::b%,=.json"]
    return report(before, after, names=paths, dialect=dialect)


def huge(count: int = 3000) -> Dict[str, Any]:
    before = schema(*(f"table_{number}" for number in range(count)))
    return report(before, schema("table_0"))


def texts(value: Any) -> List[str]:
    """Return every text in a JSON value."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []
