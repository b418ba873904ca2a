"""Both generations, schema documents, files beside the document, and documents with faults."""
import json

import pytest

import compatibility_checker as checker
from api.documents import api, body, compare, edited, found, operation, rules, sending

SWAGGER = {
    "swagger": "2.0", "info": {"title": "pets", "version": "1"}, "host": "pets.example", "basePath": "/v1",
    "schemes": ["https"],
    "consumes": ["application/json"], "produces": ["application/json"], "security": [{"key": []}],
    "securityDefinitions": {"key": {"type": "apiKey", "name": "X-Key", "in": "header"}, "plain": {"type": "basic"}},
    "parameters": {"Limit": {"name": "limit", "in": "query", "type": "integer", "maximum": 100}},
    "responses": {"Made": {"description": "made", "schema": {"$ref": "#/definitions/Pet"}}},
    "definitions": {"Pet": {"type": "object", "discriminator": "kind", "required": ["name"], "properties": {
        "name": {"type": "string", "x-nullable": True}, "kind": {"type": "string"},
        "parent": {"$ref": "#/definitions/Pet"}}}},
    "paths": {
        "/pets": {
            "parameters": [{"$ref": "#/parameters/Limit"}],
            "get": {"parameters": [{"name": "tags", "in": "query", "type": "array", "items": {"type": "string"},
                                    "collectionFormat": "multi"}],
                    "responses": {"200": {"description": "ok",
                                          "schema": {"type": "array", "items": {"$ref": "#/definitions/Pet"}},
                                          "headers": {"X-Next": {"type": "string"}}}}},
            "post": {"parameters": [{"name": "body", "in": "body", "required": True,
                                     "schema": {"$ref": "#/definitions/Pet"}}],
                     "responses": {"201": {"$ref": "#/responses/Made"}}}},
        "/photos": {"post": {"consumes": ["multipart/form-data"], "responses": {"204": {"description": "kept"}},
                             "parameters": [
            {"name": "file", "in": "formData", "type": "file", "required": True},
            {"name": "note", "in": "formData", "type": "string", "maxLength": 10}]}}}}
PET = {"type": "object", "discriminator": {"propertyName": "kind"}, "required": ["name"], "properties": {
    "name": {"type": "string", "nullable": True}, "kind": {"type": "string"},
    "parent": {"$ref": "#/components/schemas/Pet"}}}
PET_REFERENCE = {"$ref": "#/components/schemas/Pet"}
OPENAPI = api({
    "/pets": {
        "parameters": [{"$ref": "#/components/parameters/Limit"}],
        "get": {"parameters": [{"name": "tags", "in": "query",
                                "schema": {"type": "array", "items": {"type": "string"}}}],
                "responses": {"200": {"description": "ok", **body({"type": "array", "items": PET_REFERENCE}),
                                      "headers": {"X-Next": {"schema": {"type": "string"}}}}}},
        "post": {"requestBody": body(PET_REFERENCE, required=True),
                 "responses": {"201": {"$ref": "#/components/responses/Made"}}}},
    "/photos": {"post": {"responses": {"204": {"description": "kept"}}, "requestBody": body({
        "type": "object", "required": ["file"], "properties": {
            "file": {"type": "string", "format": "binary"}, "note": {"type": "string", "maxLength": 10}}},
            "multipart/form-data",
        required=True)}}}, servers=[{"url": "https://pets.example/v1"}], security=[{"key": []}])
OPENAPI["components"] = {
    "schemas": {"Pet": PET},
    "parameters": {"Limit": {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}}},
    "responses": {"Made": {"description": "made", **body(PET_REFERENCE)}},
    "securitySchemes": {"key": {"type": "apiKey", "name": "X-Key", "in": "header"},
                        "plain": {"type": "http", "scheme": "basic"}}}


def test_swagger_2_and_its_openapi_3_are_one_contract():
    assert rules(SWAGGER, OPENAPI) == rules(OPENAPI, SWAGGER) == []


@pytest.mark.parametrize("edit, rule, operations", [
    pytest.param(("definitions.Pet.properties.name.maxLength", 5), "request_max_length_set", ("POST /pets",),
                 id="definition"),
    pytest.param(("parameters.Limit.maximum", 50), "request_maximum_decreased", ("GET /pets", "POST /pets"),
                 id="parameter"),
    pytest.param(("paths./photos.post.parameters.1", {"name": "note", "in": "formData", "type": "integer"}),
                 "type_changed",
                 ("POST /photos",), id="form field"),
    pytest.param(("responses.Made.schema", {"type": "string"}), "type_changed", ("POST /pets",), id="response"),
    pytest.param(("produces", ["application/xml"]), "response_media_type_removed", ("GET /pets",), id="produces"),
    pytest.param(("basePath", "/v2"), "server_removed", ("GET /pets", "POST /pets", "POST /photos"), id="base path"),
])
def test_swagger_2_is_compared(edit, rule, operations):
    finding = [item for item in compare(SWAGGER, edited(SWAGGER, edit)).findings if item.rule.id == rule][0]
    assert finding.operations == operations


def test_form_field_is_called_by_its_name():
    after = edited(SWAGGER, ("paths./photos.post.parameters.1.maxLength", 5))
    assert found(SWAGGER, after,
                 "request_max_length_decreased").description.startswith('FormData parameter "note" of POST /photos')


SCHEMA = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["id"],
          "properties": {"id": {"type": "string"}, "next": {"$ref": "#"}}}


@pytest.mark.parametrize("direction, expected", [
    pytest.param("request", ["request_property_became_optional"], id="written by clients"),
    pytest.param("response", ["response_property_became_optional"], id="read by clients"),
    pytest.param("both", ["response_property_became_optional"], id="both"),
])
def test_schema_documents_are_data_contracts(direction, expected):
    after = edited(SCHEMA, ("required", []))
    assert rules(SCHEMA, after, direction=direction) == expected
    assert rules(SCHEMA, SCHEMA) == []


@pytest.mark.parametrize("section", ["$defs", "definitions"])
def test_collection_of_definitions_is_compared_one_by_one(section):
    before = {section: {"Id": {"type": "string"}, "Old": {"type": "string"}}}
    after = {section: {"Id": {"type": "integer"}}}
    assert rules(before, after) == ["named_schema_removed", "type_changed"]


@pytest.mark.parametrize("name", [{"$anchor": "id"}, {"$id": "#id"}])
def test_reference_to_an_anchor_is_followed(name):
    before = {"type": "object", "properties": {"id": {"$ref": "#id"}}, "$defs": {"Id": {**name, "type": "string"}}}
    finding = found(before, edited(before, ("$defs.Id.type", "integer")), "type_changed")
    assert finding.extra["locations"]["after"]["path"] == '["$defs"].Id'


def test_schema_and_api_cannot_be_compared():
    with pytest.raises(checker.InputError, match="two of one kind"):
        compare(SCHEMA, api())


def test_reference_to_a_file_beside_the_document_is_followed(tmp_path):
    (tmp_path / "parts").mkdir()
    for side, kind in (("before", "string"), ("after", "integer")):
        part = {"Order": {"type": "object", "properties": {"id": {"$ref": f"{side}_id.json#/Id"}}}}
        (tmp_path / "parts" / f"{side}.json").write_text(json.dumps(part))
        (tmp_path / "parts" / f"{side}_id.json").write_text(json.dumps({"Id": {"type": kind}}))
        (tmp_path / f"{side}.json").write_text(json.dumps(sending({"$ref": f"parts/{side}.json#/Order"})))
    before, after = (checker.load(str(tmp_path / f"{side}.json")) for side in ("before", "after"))
    comparison = checker.compare_apis(before, after, checker.Options())
    assert [finding.rule.id for finding in comparison.findings] == ["type_changed"]
    assert comparison.not_compared == ()


def test_path_in_a_file_of_its_own_refers_to_what_stands_there(tmp_path):
    for side, kind in (("before", "string"), ("after", "integer")):
        reference = {"$ref": "#/Order"}
        item = {"get": {"responses": {"200": {"description": "ok", **body(reference)}}},
                "put": operation(requestBody=body(reference))}
        (tmp_path / f"{side}_orders.json").write_text(json.dumps({"Item": item, "Order": {"type": kind}}))
        (tmp_path / f"{side}.json").write_text(json.dumps(api({"/orders": {"$ref": f"{side}_orders.json#/Item"}})))
    before, after = (checker.load(str(tmp_path / f"{side}.json")) for side in ("before", "after"))
    comparison = checker.compare_apis(before, after, checker.Options())
    assert comparison.not_compared == ()
    (finding,) = comparison.findings
    assert (finding.rule.id, finding.operations) == ("type_changed", ("GET /orders", "PUT /orders"))
    assert finding.description.startswith("Order of after_orders.json: type changed")
    place = finding.extra["locations"]["after"]
    assert (place["file"], place["path"], place["line"]) == (str(tmp_path / "after_orders.json"), "Order", 1)


def test_same_text_in_two_files_may_mean_two_things(tmp_path):
    """The file refers to its own components, which have the names of those of the document."""
    for side, kind in (("before", "string"), ("after", "integer")):
        part = {"Order": {"type": "object", "properties": {"id": {"$ref": "#/components/schemas/Id"}}},
                "components": {"schemas": {"Id": {"type": kind}}}}
        (tmp_path / f"{side}_part.json").write_text(json.dumps(part))
        whole = sending({"$ref": f"{side}_part.json#/Order"}, schemas={"Id": {"type": "string"}})
        (tmp_path / f"{side}.json").write_text(json.dumps(whole))
    before, after = (checker.load(str(tmp_path / f"{side}.json")) for side in ("before", "after"))
    findings = checker.compare_apis(before, after, checker.Options()).findings
    assert [finding.rule.id for finding in findings] == ["type_changed"]


def test_what_cannot_be_found_is_no_clean_comparison():
    lost = {"$ref": "#/components/schemas/None"}
    assert rules(sending({"type": "string"}), sending(lost)) == ["schema_not_found"]
    assert rules(sending(lost), sending({"type": "string"})) == ["schema_not_found"]
    assert rules(sending(lost), sending(lost)) == []
    both = [sending({"allOf": [lost, {"type": kind}]}) for kind in ("string", "integer")]
    assert rules(*both) == ["type_changed"]


@pytest.mark.parametrize("reference",
                         ["../secret.json", "/etc/hosts", "https://shop.example/order.json", "none.json#/A"])
def test_reference_out_of_the_folder_is_not_followed(reference):
    (entry,) = compare(sending({"type": "string"}), sending({"$ref": reference})).not_compared
    assert reference in entry["kind"] and entry["kind"].startswith("after.json:")


@pytest.mark.parametrize("edit", [
    pytest.param(("paths./orders.post.requestBody.content.application/json.schema",
                  {"$ref": "#/components/schemas/None"}), id="lost reference"),
    pytest.param(("paths./orders.post.parameters", [{"in": "query"}]), id="parameter without a name"),
    pytest.param(("paths./orders.post.responses", []), id="list for an object"),
    pytest.param(("security", "key"), id="text for a list"),
    pytest.param(("paths./orders.post.requestBody.content.application/json.schema", 5), id="number for a schema"),
    pytest.param(("paths./orders.post.requestBody.content.application/json.schema", {"$ref": "a\0.json"}),
                 id="file of an impossible name"),
    pytest.param(("components", {"schemas": {"A": {"$ref": "#/components/schemas/A"}}}), id="reference to itself"),
])
def test_local_fault_is_told_and_the_rest_is_compared(edit):
    before = sending({"type": "string"})
    before["paths"]["/health"] = {"get": operation()}
    after = edited(before, edit, ("paths./health", None))
    if edit[0] == "components":
        after = edited(after, ("paths./orders.post.requestBody.content.application/json.schema",
                               {"$ref": "#/components/schemas/A"}))
    comparison = compare(before, after)
    assert "path_removed" in [finding.rule.id for finding in comparison.findings]
    assert comparison.not_compared[0]["kind"].startswith("after.json:")


@pytest.mark.parametrize("value",
                         [[], "text", {}, {"openapi": "4.0.0"}, {"openapi": "3.0.0", "paths": []}, {"tables": {}}])
def test_what_is_no_api_document_is_refused(value):
    with pytest.raises(checker.InputError, match="^api.json:[123]:"):
        checker.read_side(checker.Document("api.json", json.dumps(value, indent=1), value, ""))


def test_keys_that_only_look_like_ours_are_read():
    for key, value in (("x-form-parameters", {"a": 1}), ("x-form-parameters", []), ("x-unresolved", 7)):
        compare(sending({"type": "object"}), sending({"type": "object", key: value}))
    compare(api({"/x": {"get": {"responses": {"": {"description": "none"}}}}}), api({"/x": {"get": operation()}}))


def test_every_edit_of_a_document_can_be_read():
    """Put odd values in every place of a document, one after the other."""
    for number, change in enumerate(odd_documents(OPENAPI)):
        compare(*((OPENAPI, change) if number % 2 else (change, OPENAPI)))


def odd_documents(value):
    text = json.dumps(value)
    for odd in (None, [], {}, "x", 7, True, {"$ref": "#"}, [None], {"a": 1}):
        for path in places(value):
            if len(path) > 1:
                other = json.loads(text)
                target = other
                for step in path[:-1]:
                    target = target[step]
                target[path[-1]] = odd
                yield other


def places(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield path + (key,)
        yield from places(item, path + (key,))
