"""The transition document that the checker proposes is applied, and serves the old clients."""
import copy
import json

import pytest

from api.documents import api, body, compare, edited, operation

TEXT = {"type": "string"}


def apply(patch, document):
    """Apply a JSON Patch (RFC 6902) of additions and removals."""
    document = copy.deepcopy(document)
    for entry in patch:
        *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in entry["path"].split("/")[1:]]
        target = document
        for step in steps:
            target = target[int(step)] if isinstance(target, list) else target[step]
        if isinstance(target, list):
            target[int(last):int(last) + (entry["op"] == "remove")] = [entry["value"]] if entry["op"] == "add" else []
        elif entry["op"] == "add":
            target[last] = entry["value"]
        else:
            del target[last]
    return document


def shop():
    order = {"type": "object", "required": ["id", "state"], "properties": {"id": TEXT, "state": TEXT, "note/old": TEXT}}
    return api({"/orders": {"get": {"parameters": [{"name": name, "in": "query", "schema": TEXT} for name in "abc"],
                                    "responses": {"200": {"description": "ok", "headers": {"X-Left": {"schema": TEXT}},
                                                          **body({"$ref": "#/components/schemas/Order"})},
                                                  "202": {"description": "later"}}},
                            "post": operation(operationId="makeOrder")},
                "/carts/{id}": {"get": operation(responses={"200": {"description": "ok",
                                                                    **body({"$ref": "#/components/schemas/Cart"})}})}},
               {"Order": order,
                "Cart": {"type": "object", "properties": {"lines": {"$ref": "#/components/schemas/Line"}}},
                "Line": {"type": "object", "properties": {"sum": {"type": "number"}}}})


REMOVALS = [
    pytest.param([("paths./carts/{id}", None), ("components.schemas.Cart", None), ("components.schemas.Line", None)],
                 id="path and what only it used"),
    pytest.param([("paths./orders.post", None)], id="operation"),
    pytest.param([("paths./orders.get.parameters", [{"name": "b", "in": "query", "schema": TEXT}])], id="parameters"),
    pytest.param([("paths./orders.get.parameters", [])], id="all parameters"),
    pytest.param([("paths./orders.get.parameters", None)], id="the list of parameters"),
    pytest.param([("paths./orders.get.responses.202", None)], id="response"),
    pytest.param([("paths./orders.get.responses.200.headers.X-Left", None)], id="response header"),
    pytest.param([("paths./carts/{id}.get.responses.200.content", {"text/csv": {"schema": TEXT}})], id="media type"),
    pytest.param([("components.schemas.Order.properties.note/old", None)], id="optional property"),
    pytest.param([("components.schemas.Order.properties.state", None), ("components.schemas.Order.required", ["id"])],
                 id="required property"),
    pytest.param([("components.schemas.Order.properties.state", None), ("components.schemas.Order.properties.id", None),
                  ("components.schemas.Order.required", None)], id="all required properties"),
]


@pytest.mark.parametrize("edits", REMOVALS)
def test_transition_document_serves_old_clients_and_can_be_undone(edits):
    before = shop()
    after = edited(before, *edits)
    comparison = compare(before, after)
    assert any(finding.rule.severity in ("breaking", "potentially_breaking") for finding in comparison.findings)
    forward, contract = comparison.steps
    transition = apply(json.loads(forward.script_content.replace("{{sunset_date}}", "2099-12-31")), after)
    hurt = [finding.rule.id for finding in compare(before, transition).findings
            if finding.rule.severity in ("breaking", "potentially_breaking")]
    assert hurt == []
    assert apply(json.loads(forward.rollback_script), transition) == after
    assert (contract.script_content, contract.rollback_script) == (forward.rollback_script, forward.script_content)


def test_reference_to_a_shared_part_is_not_put_back():
    before = edited(shop(), ("paths./orders.get.parameters.0", {"$ref": "#/components/parameters/A"}),
                    ("components.parameters", {"A": {"name": "a", "in": "query", "schema": TEXT}}))
    after = edited(before, ("paths./orders.get.parameters", []), ("components.parameters", {}))
    (forward, _) = compare(before, after).steps
    assert [entry["path"] for entry in json.loads(forward.script_content)] == [
        "/paths/~1orders/get/parameters/0", "/paths/~1orders/get/parameters/1"]


def test_harmless_change_needs_no_transition():
    assert compare(shop(), edited(shop(), ("paths./new", {"get": operation()}))).steps == ()


def test_announced_end_gives_the_header_to_send(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    after = edited(shop(), ("paths./orders.post.deprecated", True), ("paths./orders.post.x-sunset", "2026-12-31"))
    (step,) = compare(shop(), after).steps
    assert "Sunset: Thu, 31 Dec 2026 00:00:00 GMT" in step.script_content
    assert step.script_type == "manual"


def test_moved_operation_is_advised_as_a_redirect():
    after = edited(shop(), ("paths./orders.post", None),
                   ("paths./v2/orders", {"post": operation(operationId="makeOrder")}))
    (advice,) = compare(shop(), after).recommendations
    assert advice.startswith("POST /orders went to POST /v2/orders (same operationId)")
