"""What changes nothing for any client is no finding: rewritten documents, and documents that were made at random."""
import json
import random
from pathlib import Path

import pytest

from api.documents import api, body, compare, operation, query
from api.rewriting import REWRITINGS

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets"
SCALARS = [{"type": "string"}, {"type": "string", "format": "date"},
           {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
           {"type": "number", "maximum": 9.5, "exclusiveMaximum": False}, {"type": "boolean"},
           {"type": "string", "enum": ["a", "b"]}, {"type": "string", "nullable": True, "maxLength": 20},
           {"type": "string", "nullable": True, "enum": ["a", None]}, {"type": "integer", "format": "int64"},
           {"type": "string", "pattern": "^a", "description": "Words", "example": "a"}, {},
           {"type": "number", "multipleOf": 0.5, "minimum": 0}]
KINDS = ("scalar", "reference", "reference", "object", "array", "map", "oneOf", "anyOf", "allOf", "union", "not")


def random_schema(chance: random.Random, depth: int = 0):
    kind = chance.choice(KINDS) if depth < 3 else chance.choice(("scalar", "reference"))

    def inner():
        return random_schema(chance, depth + 1)

    if kind == "reference":
        return {"$ref": f"#/components/schemas/Part{chance.randrange(8)}"}
    if kind == "object":
        names = chance.sample("abcdef", 3)
        return {"type": "object", "properties": {name: {**inner(), **chance.choice(FLAGS)} for name in names},
                "required": names[:chance.randrange(3)],
                **chance.choice([{}, {"additionalProperties": False}, {"description": "An object"},
                                 {"minProperties": 1, "nullable": True}])}
    if kind == "array":
        return {"type": "array", "items": inner(), **chance.choice([{}, {"uniqueItems": True}, {"maxItems": 9}])}
    if kind == "map":
        return {"type": "object", "additionalProperties": inner()}
    if kind == "union":
        return {"oneOf": [{"$ref": f"#/components/schemas/Kind{name}"} for name in "AB"], "discriminator": {
            "propertyName": "kind", "mapping": {name: f"#/components/schemas/Kind{name}" for name in "AB"}}}
    if kind in ("oneOf", "anyOf", "allOf"):
        return {kind: [inner() for _ in range(chance.randrange(1, 4))], **chance.choice([{}, {"title": "A choice"}])}
    return {"type": "string", "not": {"enum": ["x"]}} if kind == "not" else dict(chance.choice(SCALARS))


FLAGS = ({}, {}, {"readOnly": True}, {"writeOnly": True}, {"deprecated": True}, {"default": None})


def random_document(seed: int):
    chance = random.Random(seed)

    def answer(status):
        return {status: {"description": "ok", **body(random_schema(chance)),
                         "headers": {"X-Left": {"schema": random_schema(chance, 3)}}}}

    paths = {f"/things{number}/{{id}}": {
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                       {"name": "X-Trace", "in": "header", "schema": random_schema(chance, 2)}],
        "get": operation(parameters=[query(random_schema(chance, 2), "q"),
                                     {"name": "filter", "in": "query", **body(random_schema(chance))}],
                         responses={**answer("200"), **answer("default")}),
        "post": operation(requestBody=body(random_schema(chance)), callbacks={"done": {"{$url}": {
            "post": operation(requestBody=body(random_schema(chance)), responses=answer("200"))}}})}
        for number in range(3)}
    parts = {f"Part{number}": {"type": "object",
                               "properties": {"x": random_schema(chance, 1), "y": random_schema(chance, 2)}}
             for number in range(7)}
    parts["Part7"] = {"allOf": [{"$ref": "#/components/schemas/Part0"}, random_schema(chance, 1)]}
    for name in "AB":
        parts[f"Kind{name}"] = {"type": "object", "required": ["kind"], "properties": {
            "kind": {"type": "string", "enum": [name]}, "more": random_schema(chance, 1)}}
    return api(paths, parts)


def rich_document():
    """Return a document with all that operations can have besides schemas."""
    words = {"description": "What people read."}
    upload = body({"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}},
                  "multipart/form-data")
    part = {"X-Part": {"schema": {"type": "string", **words}, **words}}
    upload["content"]["multipart/form-data"]["encoding"] = {
        "file": {"contentType": "image/png, image/jpeg", "headers": part}}
    value = api({"/files/{id}": {
        "parameters": [{"$ref": "#/components/parameters/Id"}],
        "get": {"tags": ["a", "b"], "security": [{"key": []}, {"login": ["read", "write"]}],
                "parameters": [{"name": "filter", "in": "query", **body({"type": "object", "maxProperties": 3})}],
                "responses": {"200": {"$ref": "#/components/responses/File"}, "default": {"description": "Trouble"}}},
        "put": operation(requestBody=upload, callbacks={"done": {"{$request.query.url}": {
            "post": operation(requestBody=body({"type": "object", "required": ["id"],
                                                "properties": {"id": {"type": "string", **words}}}))}}})}},
        {"File": {"type": "object", "properties": {"id": {"type": "string"},
                                                   "next": {"$ref": "#/components/schemas/File"}}}})
    value["components"].update(
        parameters={"Id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}, **words}},
        responses={"File": {"description": "A file", "headers": {"X-Left": {"schema": {"type": "integer"}, **words}},
                            "links": {"next": {"operationId": "read", **words}},
                            **body({"$ref": "#/components/schemas/File"})}},
        securitySchemes={"key": {"type": "apiKey", "in": "header", "name": "X-Key", **words},
                         "login": {"type": "oauth2", "flows": {"clientCredentials": {
                             "tokenUrl": "https://login.example/token", "scopes": {"read": "", "write": ""}}}}})
    return value


def documents():
    yield pytest.param(rich_document(), id="all parts of operations")
    for path in sorted(ASSETS.glob("api_*.json")):
        yield pytest.param(json.loads(path.read_text(encoding="utf-8")), id=path.stem)
    for seed in range(12):
        yield pytest.param(random_document(seed), id=f"random {seed}")


@pytest.mark.parametrize("name", list(REWRITINGS))
@pytest.mark.parametrize("document", list(documents()))
def test_rewritten_document_is_the_same_contract(document, name):
    other = REWRITINGS[name](document)
    for before, after in ((document, other), (other, document)):
        kinds = {finding.rule.id for finding in compare(before, after).findings}
        assert kinds <= ({"named_schema_removed"} if name == "components renamed" else set())
