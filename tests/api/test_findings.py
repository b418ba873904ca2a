"""One finding for each cause, who is reached by it, and where it stands in both documents."""
import json

import pytest

import compatibility_checker as checker
from api.documents import api, body, compare, document, edited, found, operation, rules

TEXT = {"type": "string"}
REFERENCE = {"$ref": "#/components/schemas/Order"}


def answer(schema):
    return {"200": {"description": "ok", **body(schema)}}


def shop(**schemas):
    """Return a document of which three operations read orders, two send them, and one does neither."""
    return api({
        "/orders": {"get": {"responses": answer({"type": "array", "items": REFERENCE})},
                    "post": operation(requestBody=body(REFERENCE))},
        "/orders/{id}": {"get": {"responses": answer(REFERENCE)},
                         "put": operation(requestBody=body({"allOf": [REFERENCE]}))},
        "/search": {"get": {"responses": answer({"type": "object",
                                                 "properties": {"hits": {"$ref": "#/components/schemas/Hits"}}})}},
        "/health": {"get": operation()},
    }, {"Hits": {"type": "array", "items": REFERENCE}, **schemas})


READERS = ("GET /orders", "GET /orders/{id}", "GET /search")
SENDERS = ("POST /orders", "PUT /orders/{id}")


def order(**properties):
    return shop(Order={"type": "object", "properties": {"id": TEXT, **properties},
                       "required": ["id", *properties]})


def test_one_change_of_a_shared_component_is_one_finding():
    comparison = compare(order(state=TEXT), order(state={"type": "integer"}))
    (finding,) = comparison.findings
    assert finding.rule.id == "type_changed"
    assert finding.operations == tuple(sorted(READERS + SENDERS))
    assert finding.extra["directions"] == ["request", "response"]


def test_the_worse_direction_names_the_finding_and_its_operations():
    before, after = order(state=TEXT), order(state={**TEXT, "maxLength": 5})
    finding = found(before, after, "request_max_length_set")
    assert len(compare(before, after).findings) == 1
    assert finding.operations == SENDERS
    assert finding.extra["harmless_in"] == ["response"]
    gone = found(order(state=TEXT), order(), "response_property_removed")
    assert (gone.extra["harmless_in"], gone.extra["unclear_in"]) == ([], ["request"])
    assert found(after, before, "response_max_length_unset").operations == READERS


def test_ways_of_a_change_are_told():
    finding = found(order(state=TEXT), order(state={"type": "integer"}), "type_changed")
    assert finding.extra["carried_by"] == ["application/json"]


def test_components_in_a_ring_reach_all_operations_that_lead_into_the_ring():
    def ring(kind):
        return shop(Order={"type": "object",
                           "properties": {"parent": REFERENCE, "line": {"$ref": "#/components/schemas/Line"}}},
                    Line={"type": "object", "properties": {"order": REFERENCE, "sum": {"type": kind}}})

    assert found(ring("number"), ring("string"), "type_changed").operations == tuple(sorted(READERS + SENDERS))


def test_change_nobody_refers_to_is_silent():
    lone = {"type": "object", "properties": {"a": TEXT}}
    assert rules(shop(Order=TEXT, Lone=lone), shop(Order=TEXT, Lone={"type": "array"})) == []


def test_same_component_in_many_alternatives_is_one_finding():
    def union(kind):
        kinds = {name: {"allOf": [REFERENCE, {"type": "object", "properties": {name: TEXT}}]} for name in ("A", "B",
                                                                                                           "C")}
        members = [{"$ref": f"#/components/schemas/{name}"} for name in kinds]
        document = shop(Order={"type": "object", "properties": {"sum": {"type": kind}}}, **kinds)
        return edited(document, ("paths./search.get.responses", answer({"oneOf": members})))

    assert found(union("number"), union("string"), "type_changed").operations == tuple(sorted(READERS + SENDERS))


def test_parameter_component_is_one_finding_for_its_operations():
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer"}}
    shared = operation(parameters=[{"$ref": "#/components/parameters/Limit"}])
    before = api({f"/{name}": {"get": shared} for name in "abc"})
    before["components"] = {"parameters": {"Limit": limit}}
    after = edited(before, ("components.parameters.Limit.required", True))
    finding = found(before, after, "parameter_became_required")
    assert finding.operations == ("GET /a", "GET /b", "GET /c")
    assert finding.description == '3 operations: query parameter "limit" became required.'


def test_path_is_one_finding_for_its_operations():
    finding = found(api({"/a": {"get": operation(), "post": operation()}}), api(), "path_removed")
    assert finding.operations == ("GET /a", "POST /a")


def test_places_are_exact_in_both_documents():
    before, after = order(state=TEXT), order(note=TEXT, state={"type": "integer"})
    finding = found(before, after, "type_changed")
    for side, source in (("before", before), ("after", after)):
        location = finding.extra["locations"][side]
        line = document(source).text.splitlines()[location["line"] - 1]
        assert line[:location["column"] - 1].strip() == '"state":'
        assert location["path"] == "components.schemas.Order.properties.state"
        assert location["file"] == f"{side}.json"


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_places_are_those_of_the_skeleton(indent):
    value = {"a\u00e9\n": [1, {"b": {"c": []}}, "x\\\"]}"], "d": {"": {"e": None}}, "f": [[], {}, [[0]]]}
    text = "\n " + json.dumps(value, indent=indent, ensure_ascii=False)
    known = checker.locate(text)
    assert checker.find_places(text, set(known)) == known
    for path, place in known.items():
        assert checker.find_places(text, {path})[path] == place


def test_report_carries_the_places():
    documents = document(order(state=TEXT), "before.json"), document(order(state={"type": "integer"}), "after.json")
    report = checker.assemble("api", checker.compare_apis(*documents, checker.Options()), documents)
    (issue,) = report["issues"]
    assert issue["field_path"] == "components.schemas.Order.properties.state"
    assert issue["affected_operations"] == sorted(READERS + SENDERS)
    assert issue["locations"]["after"]["line"] > 1
    json.dumps(report)
