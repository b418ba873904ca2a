"""The examples of the rules as whole documents, compared by the checker."""

import json
from typing import Any, Dict, Set

import compatibility_checker as checker

ITEM = {"get": {"operationId": "getOrder", "responses": {"200": {"description": "ok"}}},
        "put": {"operationId": "putOrder", "responses": {"200": {"description": "ok"}}}}
PARAMETERS = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
API = {"openapi": "3.1.0", "info": {"title": "shop", "version": "1.4.2"},
       "paths": {"/orders/{id}": {"parameters": PARAMETERS, **ITEM}},
       "components": {"schemas": {"Other": {"type": "string"}}, "securitySchemes": {
           "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
           "login": {"type": "oauth2", "flows": {"clientCredentials": {
               "tokenUrl": "https://shop.example/token", "scopes": {"read": "", "write": ""}}}}}},
       "security": [{"key": []}]}
EMPTY: Dict[str, Any] = {"database": {"tables": {name: {"columns": columns} for name, columns in
                                                 checker.EXAMPLE_SCHEMA.items()},
                                      "enums": {"state": ["new", "paid"]}}, "api": API}


def filled(kind: str, example: checker.Example, value: Any) -> Dict[str, Any]:
    """Return the sample document with one place set, or taken away."""
    document = json.loads(json.dumps(EMPTY[kind]))
    target = document
    for step in example.path[:-1]:
        target = target.setdefault(step, {})
    if value is None:
        target.pop(example.path[-1], None)
    else:
        target[example.path[-1]] = value
    return document


def rules_found(kind: str, example: checker.Example) -> Set[str]:
    """Return the ids of all findings between the two sides of an example."""
    sides = []
    for name, value in (("before", example.before), ("after", example.after)):
        document = filled(kind, example, value)
        text = json.dumps(document)
        sides.append(checker.Document(f"{name}.json", text, document, ""))
    options = checker.Options(dialect=example.dialect or None, config={"api": example.config} if example.config else {})
    return {finding.rule.id for finding in checker.COMPARERS[kind](*sides, options).findings}
