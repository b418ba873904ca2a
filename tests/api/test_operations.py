"""What differs outside schemas: paths, parameters, bodies, responses, security, servers, callbacks, ends announced."""
import pytest

from api.documents import api, body, compare, edited, found, operation, query, rules, taking

TEXT = {"type": "string"}
KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}
SHOP = api(
    {"/orders/{id}": {
        "get": operation(operationId="getOrder", tags=["orders"], parameters=[
            {"name": "id", "in": "path", "required": True, "schema": TEXT},
            query({"type": "array", "items": TEXT}, "fields"),
            {"name": "X-Trace", "in": "header", "schema": TEXT}]),
        "put": operation(requestBody=body({"type": "object"}), callbacks={"done": {"{$url}": {
            "post": operation(requestBody=body({"type": "object", "properties": {"at": TEXT}}))}}})}},
    servers=[{"url": "https://shop.example/v1"}], security=[{"key": []}])
SHOP["components"] = {"securitySchemes": {"key": KEY, "login": {"type": "oauth2", "flows": {"clientCredentials": {
    "tokenUrl": "https://shop.example/token", "scopes": {"read": "", "write": ""}}}}}}
SHOP["paths"]["/orders/{id}"]["get"]["responses"] = {
    "200": {"description": "ok",
            "headers": {"X-Left": {"required": True, "schema": {"type": "integer"}}, "X-Next": {"schema": TEXT}},
            **body({"type": "object"})},
    "404": {"description": "none"}, "default": {"description": "rest"}}
ORDER = "paths./orders/{id}"
GET, PUT, OK = ORDER + ".get", ORDER + ".put", ORDER + ".get.responses.200"
LOGIN = SHOP["components"]["securitySchemes"]["login"]
ITEM = SHOP["paths"]["/orders/{id}"]
CALL = PUT + ".callbacks.done.{$url}.post"


def shop(*edits):
    return edited(SHOP, *edits)


EDITS = [
    pytest.param([(ORDER, None)], ["path_removed"], id="path removed"),
    pytest.param([(GET, None)], ["operation_removed"], id="operation removed"),
    pytest.param([(ORDER + ".delete", operation())], ["operation_added"], id="operation added"),
    pytest.param([("paths./orders/{number}", ITEM), (ORDER, None),
                  ("paths./orders/{number}.get.parameters.0",
                   {"name": "number", "in": "path", "required": True, "schema": TEXT})],
                 [], id="path parameter renamed"),
    pytest.param([(GET + ".operationId", "fetch")], ["operation_id_changed"], id="operationId"),
    pytest.param([(GET + ".tags", ["x"])], ["operation_tags_changed"], id="tags"),
    pytest.param([(GET + ".summary", "Read"), ("info.description", "A shop")], [], id="documentation"),
    pytest.param([(GET + ".parameters.3", query(TEXT, "new"))], ["optional_parameter_added"], id="optional parameter"),
    pytest.param([(GET + ".parameters.1", {"name": "fields", "in": "cookie", "schema": TEXT})],
                 ["optional_parameter_added", "parameter_removed"], id="parameter moved to a cookie"),
    pytest.param([(GET + ".parameters.1.required", True)], ["parameter_became_required"],
                 id="parameter becomes required"),
    pytest.param([(GET + ".parameters.1.explode", False)], ["parameter_style_changed"], id="list written with commas"),
    pytest.param([(GET + ".parameters.1.style", "form"), (GET + ".parameters.1.explode", True)], [],
                 id="defaults of the style spelled out"),
    pytest.param([(GET + ".parameters.1.allowReserved", True)], ["parameter_reserved_allowed"],
                 id="reserved characters allowed"),
    pytest.param([(GET + ".parameters.1.schema", None),
                  (GET + ".parameters.1.content", {"application/json": {"schema": TEXT}})],
                 ["parameter_content_changed"], id="parameter as JSON"),
    pytest.param([(GET + ".parameters.2.name", "x-trace")], [], id="header in another case"),
    pytest.param([(GET + ".parameters.2.schema", {"type": "integer"})], ["type_changed"], id="header of another type"),
    pytest.param([(PUT + ".requestBody.required", True)], ["request_body_became_required"], id="body becomes required"),
    pytest.param([(PUT + ".requestBody", None)], ["request_body_removed"], id="body removed"),
    pytest.param([(PUT + ".requestBody.content.text/xml", {})], ["request_media_type_added"], id="media type accepted"),
    pytest.param([(PUT + ".requestBody.content", {"Application/JSON;charset=utf-8": {"schema": {"type": "object"}}})],
                 [], id="media type with a parameter"),
    pytest.param([(PUT + ".requestBody.content", {"text/xml": {}})],
                 ["request_media_type_added", "request_media_type_removed"], id="another media type"),
    pytest.param([(PUT + ".requestBody.content.application/json.schema", None)], ["request_schema_removed"],
                 id="body without a schema"),
    pytest.param([(PUT + ".requestBody.content.application/json.encoding", {"a": {"style": "form", "explode": True}})],
                 [], id="encoding as it is without a word"),
    pytest.param([(PUT + ".requestBody.content.application/json.encoding", {"a": {"contentType": "text/csv"}})],
                 ["encoding_changed"], id="encoding"),
    pytest.param([(OK, None)], ["response_removed"], id="200 removed"),
    pytest.param([(GET + ".responses.404", None)], ["error_response_removed"], id="404 removed"),
    pytest.param([(GET + ".responses.default", None)], ["default_response_removed"], id="default removed"),
    pytest.param([(GET + ".responses.2XX", SHOP["paths"]["/orders/{id}"]["get"]["responses"]["200"]), (OK, None)],
                 ["response_added"], id="200 becomes 2XX"),
    pytest.param([(GET + ".responses.503", {"description": "busy"})], ["response_added"], id="503 added"),
    pytest.param([(OK + ".content", {"application/problem+json": {"schema": {"type": "object"}}})],
                 ["response_media_type_specialized"], id="special JSON"),
    pytest.param([(OK + ".content.application/json.schema", None)], ["response_schema_removed"],
                 id="answer without a schema"),
    pytest.param([(OK + ".headers.X-Left", None)], ["response_header_removed"], id="promised header removed"),
    pytest.param([(OK + ".headers.X-Next", None)], ["optional_response_header_removed"], id="optional header removed"),
    pytest.param([(OK + ".headers.X-Left.required", None)], ["response_header_became_optional"],
                 id="header no longer promised"),
    pytest.param([(OK + ".headers.X-Next.schema", {"type": "string", "enum": ["a"]})], ["response_enum_added"],
                 id="header limited"),
    pytest.param([(OK + ".links", {"next": {"operationId": "getOrder"}})], ["link_added"], id="link added"),
    pytest.param([("security", [{"key": []}, {"login": []}])], ["security_loosened"], id="another way in"),
    pytest.param([("security", [{"key": [], "login": []}])], ["security_tightened"], id="both needed"),
    pytest.param([("security", [])], ["security_loosened"], id="open to all"),
    pytest.param([("security", None), (GET + ".security", [{"key": []}]), (PUT + ".security", [{"key": []}])], [],
                 id="security moved to the operations"),
    pytest.param([(GET + ".security", [{"login": ["read"]}])], ["security_tightened"], id="another scheme"),
    pytest.param([("components.securitySchemes.key.name", "X-Api-Key")], ["security_scheme_changed"],
                 id="key in another header"),
    pytest.param([("components.securitySchemes.key.name", "x-key")], [], id="header of the key in another case"),
    pytest.param([("components.securitySchemes", {"token": KEY, "login": LOGIN}), ("security", [{"token": []}])],
                 [], id="scheme renamed"),
    pytest.param([("components.securitySchemes.login.flows.clientCredentials.tokenUrl", "https://new.example")],
                 ["security_scheme_address_changed"], id="token address"),
    pytest.param([("components.securitySchemes.login.flows.clientCredentials.scopes", {"read": ""})],
                 ["security_scheme_scopes_changed"], id="scope no longer offered"),
    pytest.param([("servers", [{"url": "https://shop.example/v2"}])], ["server_added", "server_removed"],
                 id="another server"),
    pytest.param([("paths./orders/{id}.servers", [{"url": "https://orders.example"}])], [], id="a server of the path"),
    pytest.param([("servers", [{"url": "https://shop.example"}]), ("paths",
                                                                   {"/v1/orders/{id}": ITEM})], [],
                                                                   id="prefix moved from the server to the paths"),
    pytest.param([(PUT + ".callbacks", None)], ["callback_removed"], id="callback removed"),
    pytest.param([(CALL + ".requestBody.content.application/json.schema.properties.at", {"type": "integer"})],
                 ["type_changed"], id="callback sends another type"),
    pytest.param([(CALL + ".requestBody.content.application/json.schema.required", ["at"])],
                 ["response_property_became_required"], id="callback promises more"),
    pytest.param([("webhooks", {"paid": {"post": operation()}})], ["webhook_added"], id="webhook added"),
]


@pytest.mark.parametrize("edits, expected", EDITS)
def test_edit_is_found(edits, expected):
    assert sorted(set(rules(SHOP, shop(*edits)))) == expected


@pytest.mark.parametrize("required, expected",
                         [(False, "optional_property_added"), (True, "response_required_property_added")])
def test_webhook_that_sends_more_breaks_nobody(required, expected):
    schema = {"type": "object", "properties": {}}
    before = api(webhooks={"paid": {"post": operation(requestBody=body(schema))}}, version="3.1.0")
    more = {"type": "object", "properties": {"at": TEXT}, "required": ["at"] if required else []}
    assert rules(before,
                 api(webhooks={"paid": {"post": operation(requestBody=body(more))}}, version="3.1.0")) == [expected]


def test_each_method_of_a_webhook_is_an_operation_of_its_own():
    before = api(webhooks={"paid": {method: operation(requestBody=body(TEXT)) for method in ("post", "put")}})
    after = edited(before, ("webhooks.paid.put.requestBody", body({"type": "integer"})))
    assert found(before, after, "type_changed").operations == ("PUT webhook:paid",)


def test_exploded_object_is_its_parameters():
    both = {"type": "object", "properties": {"from": TEXT, "to": TEXT}}
    assert rules(taking(query(TEXT, "from"), query(TEXT, "to")), taking(query(both, "range"))) == []
    assert rules(taking(query(both, "range")), taking(query(TEXT, "from"), query(TEXT, "to"))) == []


def test_parameters_of_a_path_are_those_of_its_operations():
    lifted = api({"/orders": {"parameters": [query(TEXT)], "get": operation()}})
    assert rules(taking(query(TEXT)), lifted) == []
    assert rules(lifted, taking(query({"type": "integer"}))) == ["type_changed"]


# The day is set by SOURCE_DATE_EPOCH: 2026-01-01.
LIVES = [
    pytest.param({}, {"deprecated": True}, {}, ["operation_deprecated"], id="deprecated"),
    pytest.param({}, {"deprecated": True, "x-sunset": "2026-06-01"}, {}, ["operation_deprecated_with_sunset"],
                 id="deprecated with a date"),
    pytest.param({}, {"deprecated": True, "x-sunset": "2025-06-01"}, {}, ["sunset_too_soon"], id="date in the past"),
    pytest.param({}, {"deprecated": True, "x-sunset": "June"}, {}, ["sunset_invalid"], id="no date"),
    pytest.param({}, {"deprecated": True, "x-sunset": "2026-02-01"}, {"notice_days": {"stable": 90}},
                 ["sunset_too_soon"], id="less than the notice"),
    pytest.param({}, {"deprecated": True}, {"notice_days": {"stable": 90}}, ["sunset_missing"],
                 id="notice without a date"),
    pytest.param({"x-stability-level": "beta"},
                 {"x-stability-level": "beta", "deprecated": True, "x-sunset": "2026-02-01"},
                 {"notice_days": {"stable": 90, "beta": 10}}, ["operation_deprecated_with_sunset"],
                 id="shorter notice for beta"),
    pytest.param({"deprecated": True}, {}, {}, ["operation_undeprecated"], id="no longer deprecated"),
    pytest.param({"deprecated": True, "x-sunset": "2026-06-01"}, {"deprecated": True}, {}, ["sunset_removed"],
                 id="date withdrawn"),
    pytest.param({"deprecated": True, "x-sunset": "2027-06-01"}, {"deprecated": True, "x-sunset": "2026-06-01"}, {},
                 [], id="date earlier but ahead"),
    pytest.param({"deprecated": True, "x-sunset": "2027-06-01"}, {"deprecated": True, "x-sunset": "2025-06-01"}, {},
                 ["sunset_moved_too_close"], id="date moved to the past"),
    pytest.param({"deprecated": True}, None, {}, ["operation_removed_after_deprecation"],
                 id="removed after deprecation"),
    pytest.param({"deprecated": True, "x-sunset": "2026-06-01"}, None, {}, ["operation_removed_before_sunset"],
                 id="removed before its date"),
    pytest.param({"deprecated": True, "x-sunset": "2025-06-01T00:00:00Z"}, None, {},
                 ["operation_removed_after_sunset"], id="removed after its date"),
    pytest.param({"x-stability-level": "alpha"}, None, {}, ["operation_removed_while_unstable"], id="alpha removed"),
    pytest.param({"x-stability-level": "alpha"}, None, {"stability_threshold": "alpha"}, ["operation_removed"],
                 id="alpha removed, threshold alpha"),
    pytest.param({}, {"x-stability-level": "alpha"}, {}, ["stability_lowered"], id="stable to alpha"),
    pytest.param({}, {"x-stability-level": "solid"}, {}, ["stability_invalid"], id="unknown level"),
]


@pytest.mark.parametrize("old, new, settings, expected", LIVES)
def test_ends_are_judged_by_what_was_announced(old, new, settings, expected, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    before = api({"/orders": {"get": operation(), "post": operation(**old)}})
    after = api({"/orders": {"get": operation(), **({} if new is None else {"post": operation(**new)})}})
    assert rules(before, after, config={"api": settings}) == expected


def test_version_that_hides_a_break_is_named_and_advised():
    before, after = (edited(document, ("info.version", "1.4.2")) for document in (SHOP, shop((GET, None))))
    assert found(before, after, "version_not_raised").description == "info.version stays 1.4.2 although clients break."
    assert "Publish the after document as version 2.0.0 or higher." in compare(before, after).recommendations
    assert "version_not_raised" not in rules(before, edited(after, ("info.version", "2.0.0")))


def test_each_server_that_goes_is_told_with_the_operations_that_use_it():
    hosts = [{"url": f"https://{name}.example"} for name in ("a", "b", "c")]
    before = api({"/x": {"get": operation(), "put": operation(servers=hosts[:2])}}, servers=hosts)
    after = edited(before, ("servers", hosts[2:]), ("paths./x.put.servers", hosts[:1]))
    gone = [finding for finding in compare(before, after).findings if finding.rule.id == "server_removed"]
    assert sorted((finding.old, *finding.operations) for finding in gone) == [
        ("https://a.example", "GET /x"), ("https://b.example", "GET /x"), ("https://b.example", "PUT /x")]
