"""Small API documents, and what comparing two of them finds."""
import copy
import json
from typing import Any, Dict, List, Optional, Tuple

import compatibility_checker as checker

Value = Dict[str, Any]


def document(value: Value, name: str = "api.json") -> checker.Document:
    text = json.dumps(value, indent=1)
    return checker.Document(name, text, json.loads(text), "")


def compare(before: Value, after: Value, **options: Any) -> checker.Comparison:
    return checker.compare_apis(document(before, "before.json"), document(after, "after.json"),
                                checker.Options(**options))


def rules(before: Value, after: Value, **options: Any) -> List[str]:
    """Return the ids of all findings, sorted, without the remark about info.version."""
    return sorted(finding.rule.id for finding in compare(before, after, **options).findings)


def found(before: Value, after: Value, rule: str, **options: Any) -> checker.Finding:
    """Return the only finding of one rule."""
    (finding,) = [finding for finding in compare(before, after, **options).findings if finding.rule.id == rule]
    return finding


def api(paths: Optional[Value] = None, schemas: Optional[Value] = None, version: str = "3.0.3", **more: Any) -> Value:
    return {"openapi": version, "info": {"title": "shop", "version": "2024-05-01"}, "paths": paths or {},
            **({"components": {"schemas": schemas}} if schemas else {}), **more}


def operation(**parts: Any) -> Value:
    return {"responses": {"200": {"description": "ok"}}, **parts}


def body(schema: Any, media: str = "application/json", **more: Any) -> Value:
    return {"content": {media: {"schema": schema}}, **more}


def sending(schema: Any, media: str = "application/json", **more: Any) -> Value:
    """Return a document whose only schema is the body of POST /orders."""
    return api({"/orders": {"post": operation(requestBody=body(schema, media))}}, **more)


def returning(schema: Any, media: str = "application/json", **more: Any) -> Value:
    """Return a document whose only schema is the answer of GET /orders."""
    answer = {"200": {"description": "ok", **body(schema, media)}}
    return api({"/orders": {"get": {"responses": answer}}}, **more)


def taking(*parameters: Value, **more: Any) -> Value:
    """Return a document whose GET /orders takes some parameters."""
    return api({"/orders": {"get": operation(parameters=list(parameters))}}, **more)


def query(schema: Any, name: str = "q", **more: Any) -> Value:
    return {"name": name, "in": "query", "schema": schema, **more}


def edited(value: Value, *edits: Tuple[str, Any]) -> Value:
    """Return a copy with edits such as ("paths./orders.get.deprecated", True); None takes a key away."""
    result = copy.deepcopy(value)
    for path, new in edits:
        *steps, last = path.split(".")
        target: Any = result
        for step in steps:
            target = target[int(step)] if isinstance(target, list) else target.setdefault(step, {})
        if isinstance(target, list):
            target[int(last):int(last) + 1] = [new]
        elif new is None:
            target.pop(last)
        else:
            target[last] = new
    return result
