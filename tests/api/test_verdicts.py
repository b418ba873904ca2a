"""Every kind of change of a schema at every place where a schema can stand: the exit code it gives there."""
import pytest

import compatibility_checker as checker
from api.documents import api, body, document, edited, operation, query

BREAKS, UNSURE, FINE = "breaks", "unsure", "fine"
VERDICT = {"B": BREAKS, "?": UNSURE, "-": FINE}
TEXT, WHOLE, NUMBER, FLAG = ({"type": name} for name in ("string", "integer", "number", "boolean"))
ANY, LIST, THING = {}, {"type": "array"}, {"type": "object"}


def thing(required="", **properties):
    """Return an object schema; `required` are the names of one letter each."""
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def text(**more):
    return {"type": "string", **more}


def number(**more):
    return {"type": "number", **more}


def several(of, **more):
    return {"type": "array", "items": of, **more}


def closed(required="", **properties):
    return {**thing(required, **properties), "additionalProperties": False}


def one_of(*members, **more):
    return {"oneOf": list(members), **more}


def any_of(*members, **more):
    return {"anyOf": list(members), **more}


def all_of(*members, **more):
    return {"allOf": list(members), **more}


def hidden(flag, **more):
    return text(**{flag: True}, **more)


def limits(keyword, kind, lower):
    """Yield the changes of one limit: a narrower one breaks who sends, a wider one who reads."""
    low, high = {**kind, keyword: 4}, {**kind, keyword: 8}
    tight, loose = (high, low) if lower else (low, high)
    yield f"{keyword} set", kind, high, "B-"
    yield f"{keyword} dropped", high, kind, "-B"
    yield f"{keyword} tightened", loose, tight, "B-"
    yield f"{keyword} loosened", tight, loose, "-B"


A, B, C = (thing(name, **{name: TEXT}) for name in "abc")
CAT, DOG = thing("k", k={"const": "cat"}, n=TEXT), thing("k", k={"const": "dog"}, m=TEXT)

# what changes, the schema before, the schema after, the verdicts for who sends it and for who reads it
CHANGES = [
    ("nothing", TEXT, TEXT, "--"),
    # types
    ("text becomes a number", TEXT, WHOLE, "BB"), ("number becomes text", WHOLE, TEXT, "BB"),
    ("integer becomes number", WHOLE, NUMBER, "-B"), ("number becomes integer", NUMBER, WHOLE, "B-"),
    ("any becomes text", ANY, TEXT, "B-"), ("text becomes any", TEXT, ANY, "-B"),
    ("text becomes an object", TEXT, THING, "BB"), ("text becomes a list", TEXT, several(TEXT), "BB"),
    ("list becomes text", several(TEXT), TEXT, "BB"), ("object becomes a list", THING, LIST, "BB"),
    ("one type becomes two", TEXT, {"type": ["string", "integer"]}, "-B"),
    ("two types become one", {"type": ["string", "integer"]}, TEXT, "B-"),
    ("two types become two others", {"type": ["string", "integer"]}, {"type": ["string", "boolean"]}, "BB"),
    ("types in another order", {"type": ["string", "integer"]}, {"type": ["integer", "string"]}, "--"),
    ("a list of one type", TEXT, {"type": ["string"]}, "--"),
    ("integer joins number", {"type": ["number", "integer"]}, NUMBER, "--"),
    ("type becomes alternatives of types", TEXT, one_of(TEXT, WHOLE), "-B"),
    ("alternatives of types become one", any_of(TEXT, WHOLE), TEXT, "B-"),
    # null
    ("null allowed", TEXT, {"type": ["string", "null"]}, "-B"),
    ("null no longer allowed", {"type": ["string", "null"]}, TEXT, "B-"),
    ("nullable", TEXT, text(nullable=True), "-B"), ("no longer nullable", text(nullable=True), TEXT, "B-"),
    ("null as an alternative", A, one_of(A, {"type": "null"}), "-B"),
    ("null no longer an alternative", any_of({"type": "null"}, A), A, "B-"),
    ("x-nullable is nullable", text(nullable=True), text(**{"x-nullable": True}), "--"),
    ("nullable becomes a type", text(nullable=True), {"type": ["string", "null"]}, "--"),
    ("a type becomes an alternative", {"type": ["string", "null"]}, any_of(TEXT, {"type": "null"}), "--"),
    ("null joins alternatives", one_of(A, B), one_of(A, B, {"type": "null"}), "-B"),
    ("enum with null", text(nullable=True, enum=["a", None]), {"type": ["string", "null"], "enum": [None, "a"]}, "--"),
    # formats
    ("format added", TEXT, text(format="date"), "B-"), ("format dropped", text(format="date"), TEXT, "-B"),
    ("int32 becomes int64", {**WHOLE, "format": "int32"}, {**WHOLE, "format": "int64"}, "-B"),
    ("int64 becomes int32", {**WHOLE, "format": "int64"}, {**WHOLE, "format": "int32"}, "B-"),
    ("int32 becomes bigint", {**WHOLE, "format": "int32"}, {**WHOLE, "format": "bigint"}, "-B"),
    ("float becomes double", number(format="float"), number(format="double"), "-B"),
    ("double becomes float", number(format="double"), number(format="float"), "B-"),
    ("date becomes date-time", text(format="date"), text(format="date-time"), "-B"),
    ("date-time becomes time", text(format="date-time"), text(format="time"), "B-"),
    ("uuid becomes email", text(format="uuid"), text(format="email"), "BB"),
    ("type and format", text(format="date"), {**WHOLE, "format": "int64"}, "BB"),
    # values
    ("enum appears", TEXT, text(enum=["a"]), "B-"), ("enum dropped", text(enum=["a"]), TEXT, "-B"),
    ("value added", text(enum=["a"]), text(enum=["a", "b"]), "-?"),
    ("value removed", text(enum=["a", "b"]), text(enum=["a"]), "B-"),
    ("value replaced", text(enum=["a", "b"]), text(enum=["a", "c"]), "B?"),
    ("values in another order", text(enum=["a", "b"]), text(enum=["b", "a"]), "--"),
    ("value added to an open enum", text(enum=["a"], **{"x-ms-enum": {"modelAsString": True}}),
     text(enum=["a", "b"], **{"x-ms-enum": {"modelAsString": True}}), "--"),
    ("extensible value added", text(**{"x-extensible-enum": ["a"]}), text(**{"x-extensible-enum": ["a", "b"]}), "--"),
    ("extensible value removed", text(**{"x-extensible-enum": ["a", "b"]}), text(**{"x-extensible-enum": ["a"]}), "B-"),
    ("constant set", TEXT, text(const="a"), "B-"), ("constant dropped", text(const="a"), TEXT, "-B"),
    ("another constant", text(const="a"), text(const="b"), "BB"),
    ("constant becomes an enum with it", text(const="a"), text(enum=["a", "b"]), "-?"),
    ("enum becomes one of its values", text(enum=["a", "b"]), text(const="a"), "B-"),
    # limits
    *limits("minimum", NUMBER, True), *limits("maximum", NUMBER, False),
    *limits("exclusiveMinimum", NUMBER, True), *limits("exclusiveMaximum", NUMBER, False),
    *limits("minLength", TEXT, True), *limits("maxLength", TEXT, False),
    *limits("minItems", LIST, True), *limits("maxItems", LIST, False),
    *limits("minProperties", THING, True), *limits("maxProperties", THING, False),
    *limits("minContains", {**LIST, "contains": TEXT}, True), *limits("maxContains", {**LIST, "contains": TEXT}, False),
    ("bound excluded", number(minimum=1), number(minimum=1, exclusiveMinimum=True), "B-"),
    ("bound no longer excluded", number(maximum=1, exclusiveMaximum=True), number(maximum=1), "-B"),
    ("excluded bound written as a number", number(maximum=1, exclusiveMaximum=True), number(exclusiveMaximum=1), "--"),
    ("both bounds, the tighter unchanged", number(minimum=1, exclusiveMinimum=5), number(exclusiveMinimum=5), "--"),
    ("bound as a fraction", number(minimum=1), number(minimum=1.0), "--"),
    ("minimum of zero items", LIST, {**LIST, "minItems": 0}, "--"),
    ("multiple set", NUMBER, number(multipleOf=2), "B-"), ("multiple dropped", number(multipleOf=2), NUMBER, "-B"),
    ("coarser multiple", number(multipleOf=4), number(multipleOf=8), "B-"),
    ("finer multiple", number(multipleOf=8), number(multipleOf=4), "-B"),
    ("another multiple", number(multipleOf=4), number(multipleOf=6), "BB"),
    ("items must differ", LIST, {**LIST, "uniqueItems": True}, "B-"),
    ("items may repeat", {**LIST, "uniqueItems": True}, LIST, "-B"),
    ("pattern set", TEXT, text(pattern="^a"), "B-"), ("pattern dropped", text(pattern="^a"), TEXT, "-B"),
    ("another pattern", text(pattern="^a"), text(pattern="^b"), "??"),
    ("pattern that takes everything", text(pattern="^a"), text(pattern=".*"), "-B"),
    # properties
    ("optional property added", A, thing("a", a=TEXT, b=TEXT), "--"),
    ("required property added", A, thing("ab", a=TEXT, b=TEXT), "B-"),
    ("required property with a default added", A, thing("ab", a=TEXT, b=text(default="x")), "B-"),
    ("required readOnly property added", A, thing("ab", a=TEXT, b=hidden("readOnly")), "--"),
    ("required writeOnly property added", A, thing("ab", a=TEXT, b=hidden("writeOnly")), "B-"),
    ("optional property removed", thing("a", a=TEXT, b=TEXT), A, "??"),
    ("required property removed", thing("ab", a=TEXT, b=TEXT), A, "?B"),
    ("readOnly property removed", thing("a", a=TEXT, b=hidden("readOnly")), A, "-?"),
    ("writeOnly property removed", thing("a", a=TEXT, b=hidden("writeOnly")), A, "?-"),
    ("property becomes required", thing(a=TEXT), A, "B-"), ("property becomes optional", A, thing(a=TEXT), "-B"),
    ("property with a default becomes required", thing(a=text(default="x")), thing("a", a=text(default="x")), "B-"),
    ("readOnly property becomes required", thing(a=hidden("readOnly")), thing("a", a=hidden("readOnly")), "--"),
    ("writeOnly property becomes optional", thing("a", a=hidden("writeOnly")), thing(a=hidden("writeOnly")), "--"),
    ("required names a property that nobody knows", A, {**A, "required": ["a", "z"]}, "--"),
    ("property becomes readOnly", A, thing("a", a=hidden("readOnly")), "--"),
    ("property no longer readOnly", thing(a=hidden("readOnly")), thing(a=TEXT), "--"),
    ("property becomes writeOnly", thing(a=TEXT), thing(a=hidden("writeOnly")), "--"),
    ("property no longer writeOnly", thing(a=hidden("writeOnly")), thing(a=TEXT), "--"),
    ("required property no longer writeOnly", thing("a", a=hidden("writeOnly")), A, "-?"),
    ("readOnly property limited", thing(a=hidden("readOnly")), thing(a=hidden("readOnly", maxLength=3)), "--"),
    ("readOnly property of another type", thing(a=hidden("readOnly")), thing(a={**WHOLE, "readOnly": True}), "-B"),
    ("writeOnly property of another type", thing(a=hidden("writeOnly")), thing(a={**WHOLE, "writeOnly": True}), "B-"),
    ("readOnly value removed", thing(a=hidden("readOnly", enum=["a", "b"])), thing(a=hidden("readOnly", enum=["a"])),
     "--"),
    ("writeOnly value added", thing(a=hidden("writeOnly", enum=["a"])), thing(a=hidden("writeOnly", enum=["a", "b"])),
     "--"),
    # objects beyond their properties
    ("object closed", A, closed("a", a=TEXT), "B-"), ("object opened", closed("a", a=TEXT), A, "-B"),
    ("other properties limited", A, {**A, "additionalProperties": TEXT}, "B-"),
    ("other properties no longer limited", {**A, "additionalProperties": TEXT}, A, "-B"),
    ("other properties forbidden", {**A, "additionalProperties": TEXT}, closed("a", a=TEXT), "B-"),
    ("values of a map of another type", {**THING, "additionalProperties": TEXT},
     {**THING, "additionalProperties": WHOLE}, "BB"),
    ("other properties allowed in words", A, {**A, "additionalProperties": True}, "--"),
    ("other properties of any form", A, {**A, "additionalProperties": {}}, "--"),
    ("property of a closed object removed", closed("ab", a=TEXT, b=TEXT), closed("a", a=TEXT), "BB"),
    ("optional property of a closed object removed", closed("a", a=TEXT, b=TEXT), closed("a", a=TEXT), "B?"),
    ("property of a closed object added", closed("a", a=TEXT), closed("a", a=TEXT, b=TEXT), "--"),
    ("unevaluated properties forbidden", A, {**A, "unevaluatedProperties": False}, "B-"),
    ("unevaluated properties limited", A, {**A, "unevaluatedProperties": TEXT}, "B-"),
    ("unevaluated properties no longer limited", {**A, "unevaluatedProperties": TEXT}, A, "-B"),
    ("names limited", THING, {**THING, "propertyNames": text(pattern="^a")}, "B-"),
    ("names no longer limited", {**THING, "propertyNames": text(pattern="^a")}, THING, "-B"),
    ("names limited more", {**THING, "propertyNames": text(maxLength=8)}, {**THING, "propertyNames": text(maxLength=4)},
     "B-"),
    ("pattern property added", THING, {**THING, "patternProperties": {"^x": TEXT}}, "B-"),
    ("pattern property removed", {**THING, "patternProperties": {"^x": TEXT}}, THING, "-B"),
    ("pattern property of another type", {**THING, "patternProperties": {"^x": TEXT}},
     {**THING, "patternProperties": {"^x": WHOLE}}, "BB"),
    ("needs another property", A, {**A, "dependentRequired": {"a": ["b"]}}, "B-"),
    ("needs no other property", {**A, "dependentRequired": {"a": ["b"]}}, A, "-B"),
    ("needs more properties", {**A, "dependentRequired": {"a": ["b"]}}, {**A, "dependentRequired": {"a": ["b", "c"]}},
     "B-"),
    ("needs a different property", {**A, "dependentRequired": {"a": ["b"]}},
     {**A, "dependentRequired": {"a": ["c"]}}, "BB"),
    ("schema for who has a property", A, {**A, "dependentSchemas": {"a": B}}, "B-"),
    ("no schema for who has a property", {**A, "dependentSchemas": {"a": B}}, A, "-B"),
    # lists
    ("items of another type", several(TEXT), several(WHOLE), "BB"), ("items limited", LIST, several(TEXT), "B-"),
    ("items no longer limited", several(TEXT), LIST, "-B"),
    ("value of items added", several(text(enum=["a"])), several(text(enum=["a", "b"])), "-?"),
    ("value of items removed", several(text(enum=["a", "b"])), several(text(enum=["a"])), "B-"),
    ("length of items limited", several(TEXT), several(text(maxLength=4)), "B-"),
    ("tuple longer", {**LIST, "prefixItems": [TEXT]}, {**LIST, "prefixItems": [TEXT, WHOLE]}, "-B"),
    ("tuple shorter", {**LIST, "prefixItems": [TEXT, WHOLE]}, {**LIST, "prefixItems": [TEXT]}, "B-"),
    ("tuple with another type", {**LIST, "prefixItems": [TEXT]}, {**LIST, "prefixItems": [WHOLE]}, "BB"),
    ("an item that fits needed", LIST, {**LIST, "contains": TEXT}, "B-"),
    ("an item that fits no longer needed", {**LIST, "contains": TEXT}, LIST, "-B"),
    ("unevaluated items limited", LIST, {**LIST, "unevaluatedItems": TEXT}, "B-"),
    ("unevaluated items no longer limited", {**LIST, "unevaluatedItems": TEXT}, LIST, "-B"),
    # conditions, exclusions, content
    ("exclusion added", TEXT, text(**{"not": {"const": "a"}}), "B-"),
    ("exclusion dropped", text(**{"not": {"const": "a"}}), TEXT, "-B"),
    ("condition added", A, {**A, "if": {"required": ["b"]}, "then": C}, "B-"),
    ("condition dropped", {**A, "if": {"required": ["b"]}, "then": C}, A, "-B"),
    ("else added", {**A, "if": {"required": ["b"]}, "then": C}, {**A, "if": {"required": ["b"]}, "then": C, "else": B},
     "B-"),
    ("then of another type", {**A, "if": B, "then": thing(c=TEXT)}, {**A, "if": B, "then": thing(c=WHOLE)}, "BB"),
    ("text in another media type", text(contentMediaType="text/csv"), text(contentMediaType="text/html"), "BB"),
    ("text in another encoding", text(contentEncoding="base64"), text(contentEncoding="base32"), "BB"),
    ("schema of the content added", TEXT, text(contentSchema=A), "B-"),
    ("schema of the content dropped", text(contentSchema=A), TEXT, "-B"),
    # alternatives
    ("alternative added", one_of(A, B), one_of(A, B, C), "-B"),
    ("alternative removed", one_of(A, B, C), one_of(A, B), "B-"),
    ("open alternative added", any_of(A, B), any_of(A, B, C), "-B"),
    ("open alternative removed", any_of(A, B, C), any_of(A, B), "B-"),
    ("alternatives in another order", one_of(A, B), one_of(B, A), "--"),
    ("alternative of another type", one_of(CAT, DOG), one_of(DOG, thing("k", k={"const": "cat"}, n=WHOLE)), "BB"),
    ("alternatives may overlap", one_of(A, B), any_of(A, B), "-B"),
    ("alternatives may not overlap", any_of(A, B), one_of(A, B), "B-"),
    ("alternatives where anything was", ANY, one_of(A, B), "B-"),
    ("anything where alternatives were", one_of(A, B), ANY, "-B"),
    ("one schema becomes an alternative", A, one_of(A, B), "-B"),
    ("alternatives become one schema", one_of(A, B), A, "B-"),
    ("another schema becomes alternatives", thing("c", c=FLAG), one_of(A, B), "BB"),
    ("property limited in one alternative", one_of(thing("a", a=TEXT), B), one_of(thing("a", a=text(maxLength=3)), B),
     "B-"),
    ("constraint joined", A, all_of(A, thing("b", b=TEXT)), "B-"),
    ("constraint taken out", all_of(A, {"maxProperties": 5}), A, "-B"),
    ("title joined", A, all_of(A, {"title": "A", "description": "Words"}), "--"),
    ("schema alone in allOf", A, all_of(A), "--"),
    ("property moved into allOf", thing("a", a=TEXT, b=TEXT), {**A, **all_of(thing(b=TEXT))}, "--"),
    ("required moved into allOf", thing("a", a=TEXT), all_of(thing(a=TEXT), {"required": ["a"]}), "--"),
    ("the same alternatives asked for twice", one_of(A, B), {**one_of(A, B), **all_of(one_of(B, A))}, "--"),
    ("other alternatives asked for too", one_of(A, B), {**one_of(A, B), **all_of(one_of(A, C))}, "B-"),
    # what only generated clients see
    ("discriminator added", one_of(CAT, DOG), one_of(CAT, DOG, discriminator={"propertyName": "k"}), "--"),
    ("another discriminator", one_of(CAT, DOG, discriminator={"propertyName": "k"}),
     one_of(CAT, DOG, discriminator={"propertyName": "n"}), "--"),
    ("value of the discriminator removed",
     one_of(CAT, DOG, discriminator={"propertyName": "k", "mapping": {"cat": "#/a", "dog": "#/b"}}),
     one_of(CAT, DOG, discriminator={"propertyName": "k", "mapping": {"cat": "#/a"}}), "--"),
    ("default added", TEXT, text(default="a"), "--"), ("default dropped", text(default="a"), TEXT, "--"),
    ("default changed", text(default="a"), text(default="b"), "--"),
    ("deprecated", TEXT, text(deprecated=True), "--"),
    ("deprecated with an end that nobody can read", TEXT, text(deprecated=True, **{"x-sunset": "soon"}), "BB"),
    ("deprecated with an end that has passed", TEXT, text(deprecated=True, **{"x-sunset": "2020-01-01"}), "BB"),
    ("deprecated with an end ahead", TEXT, text(deprecated=True, **{"x-sunset": "2999-01-01"}), "--"),
    ("less stable", TEXT, text(**{"x-stability-level": "alpha"}), "BB"),
    ("more stable", text(**{"x-stability-level": "beta"}), text(**{"x-stability-level": "stable"}), "--"),
    ("of unknown stability", TEXT, text(**{"x-stability-level": "solid"}), "BB"),
    ("other words", text(title="A", description="a", example="x"), text(title="B", examples=["y"]), "--"),
]
REFERENCE = {"$ref": "#/components/schemas/Part"}
PLACES = {  # where a schema can stand: schema -> the schema of the whole body, and the components
    "the body": lambda schema: (schema, {}),
    "a property": lambda schema: (thing("p", p=schema, q=TEXT), {}),
    "items": lambda schema: (several(schema), {}),
    "values of a map": lambda schema: ({**THING, "additionalProperties": schema}, {}),
    "an alternative": lambda schema: (one_of(thing("t", t={"const": 1}, p=schema), thing("u", u=TEXT)), {}),
    "a member of allOf": lambda schema: (all_of(thing(p=schema), thing(q=TEXT)), {}),
    "a component": lambda schema: (REFERENCE, {"Part": schema}),
    "a component that contains itself": lambda schema: (REFERENCE, {"Part": thing(p=schema, next=REFERENCE)}),
    "beside a reference": lambda schema: ({**REFERENCE, "properties": {"p": schema}}, {"Part": thing(q=TEXT)}),
    "a tuple": lambda schema: ({**LIST, "prefixItems": [TEXT, schema]}, {}),
    "a pattern property": lambda schema: ({**THING, "patternProperties": {"^x": schema}}, {}),
}


def requests(schema, parts):
    return api({"/x": {"post": operation(requestBody=body(schema))}}, parts, "3.1.0")


def responses(schema, parts):
    return api({"/x": {"get": operation(responses={"200": {"description": "ok", **body(schema)}})}}, parts, "3.1.0")


def callbacks(schema, parts):
    return api({"/x": {"post": operation(callbacks={"done": {"{$url}": {
        "post": operation(requestBody=body(schema))}}})}}, parts, "3.1.0")


def webhooks(schema, parts):
    return api({}, parts, "3.1.0", webhooks={"done": {"post": operation(requestBody=body(schema))}})


def webhook_answers(schema, parts):
    return api({}, parts, "3.1.0", webhooks={"done": {"post": operation(
        responses={"200": {"description": "ok", **body(schema)}})}})


CARRIERS = {  # who carries a body: document of a schema -> which of the two verdicts counts
    "requests": (requests, 0), "responses": (responses, 1), "callbacks": (callbacks, 1), "webhooks": (webhooks, 1),
    "answers to webhooks": (webhook_answers, 0)}


def verdict(before, after):
    """Return what the exit code says of two documents."""
    findings = checker.compare_apis(document(before), document(after), checker.Options()).findings
    levels = {finding.rule.severity for finding in findings}
    return BREAKS if checker.BREAKING in levels else UNSURE if checker.POTENTIALLY in levels else FINE


def wrong_places(old, new, verdicts, places, carriers):
    for place in places:
        for carrier in carriers:
            make, side = CARRIERS[carrier]
            found = verdict(*(make(*PLACES[place](schema)) for schema in (old, new)))
            if found != VERDICT[verdicts[side]]:
                yield f"{place} of {carrier}: {found}"


@pytest.mark.parametrize("old, new, verdicts", [pytest.param(*row[1:], id=row[0]) for row in CHANGES])
def test_change_weighs_the_same_at_every_place(old, new, verdicts):
    assert list(wrong_places(old, new, verdicts, PLACES, ("requests", "responses"))) == []
    assert list(wrong_places(old, new, verdicts, ["a property"], CARRIERS)) == []


ITEM = "paths./x/{id}"
GET, POST, OK = ITEM + ".get", ITEM + ".post", ITEM + ".get.responses.200"
NODE = {"$ref": "#/components/schemas/Node"}
IDENTITY = {"name": "id", "in": "path", "required": True, "schema": TEXT}
FIELDS = query(several(TEXT), "fields")
KEY = {"type": "apiKey", "in": "header", "name": "K"}
LOGIN = {"type": "oauth2", "flows": {"implicit": {"authorizationUrl": "https://login.example", "scopes": {
    "read": "", "write": ""}}}}
BASE = api({"/x/{id}": {
    "get": {"operationId": "read", "tags": ["a"], "parameters": [IDENTITY, FIELDS], "responses": {
        "200": {"description": "ok", "headers": {"X-R": {"required": True, "schema": TEXT}, "X-O": {"schema": TEXT}},
                **body(NODE)},
        "404": {"description": "none"}, "default": {"description": "rest"}}},
    "post": {"operationId": "write", "parameters": [IDENTITY], "requestBody": body(NODE),
             "responses": {"2XX": {"description": "ok"}}}}},
    {"Node": thing(v=TEXT, kids=several(NODE)), "Unused": thing("z", z=TEXT)})
BASE["components"]["securitySchemes"] = {"key": KEY, "login": LOGIN}
LATER, SOON, PAST = "2999-01-01", "2998-01-01", "2020-01-01"
OTHER = {"name": "other", "in": "path", "required": True, "schema": TEXT}


def base(*edits):
    return edited(BASE, *edits)


def parameter(where=FIELDS, **more):
    return (GET + ".parameters.1", {**where, **more})


def posting(value):
    return (POST + ".requestBody", value)


def answering(**content):
    return (OK + ".content", {name.replace("_", "/"): {"schema": schema} if schema else {}
                              for name, schema in content.items()})


def media(name, schema=NODE):
    return {"content": {name: {} if schema is None else {"schema": schema}}}


END = {"deprecated": True, "x-sunset": LATER}
OLD = {"deprecated": True}
# what changes, edits of BASE that give the document before, more edits that give the document after, the verdict
EDITS = [
    ("path parameter renamed", [], [(ITEM, None), ("paths./x/{other}", {
        "get": {**BASE["paths"]["/x/{id}"]["get"], "parameters": [OTHER, FIELDS]},
        "post": {**BASE["paths"]["/x/{id}"]["post"], "parameters": [OTHER]}})], "-"),
    ("path parameter renamed and limited", [], [(ITEM, None), ("paths./x/{other}", {
        "get": {**BASE["paths"]["/x/{id}"]["get"], "parameters": [{**OTHER, "schema": WHOLE}, FIELDS]},
        "post": {**BASE["paths"]["/x/{id}"]["post"], "parameters": [OTHER]}})], "B"),
    ("slash at the end of the path", [], [(ITEM, None), (ITEM + "/", BASE["paths"]["/x/{id}"])], "B"),
    ("operation removed", [], [(GET, None)], "B"), ("path removed", [], [(ITEM, None)], "B"),
    ("operation added", [], [(ITEM + ".delete", operation())], "-"),
    ("path added", [], [("paths./y", {"get": operation()})], "-"),
    # deprecation, sunset, stability
    ("deprecated operation removed", [(GET + ".deprecated", True)], [(GET, None)], "-"),
    ("operation removed before its end", [(GET, {**operation(), **END})], [(GET, None)], "B"),
    ("operation removed after its end", [(GET, {**operation(), **OLD, "x-sunset": PAST})], [(GET, None)], "-"),
    ("operation with an unreadable end removed", [(GET, {**operation(), **OLD, "x-sunset": "soon"})], [(GET, None)],
     "B"),
    ("operation with an end and without deprecation removed", [(GET + ".x-sunset", PAST)], [(GET, None)], "B"),
    ("draft operation removed", [(GET + ".x-stability-level", "draft")], [(GET, None)], "-"),
    ("alpha operation removed", [(GET + ".x-stability-level", "alpha")], [(GET, None)], "-"),
    ("beta operation removed", [(GET + ".x-stability-level", "beta")], [(GET, None)], "B"),
    ("path of alpha operations removed", [("paths./y", {"get": {**operation(), "x-stability-level": "alpha"}})],
     [("paths./y", None)], "-"),
    ("operation of unknown stability removed", [(GET + ".x-stability-level", "solid")], [(GET, None)], "B"),
    ("alpha operation takes a required parameter", [(GET + ".x-stability-level", "alpha")],
     [parameter(required=True)], "-"),
    ("stable to alpha", [], [(GET + ".x-stability-level", "alpha")], "B"),
    ("stable to beta", [], [(GET + ".x-stability-level", "beta")], "B"),
    ("beta to alpha", [(GET + ".x-stability-level", "beta")], [(GET + ".x-stability-level", "alpha")], "B"),
    ("beta to stable", [(GET + ".x-stability-level", "beta")], [(GET + ".x-stability-level", "stable")], "-"),
    ("alpha to stable", [(GET + ".x-stability-level", "alpha")], [(GET + ".x-stability-level", None)], "-"),
    ("alpha to draft", [(GET + ".x-stability-level", "alpha")], [(GET + ".x-stability-level", "draft")], "-"),
    ("stable is said", [], [(GET + ".x-stability-level", "stable")], "-"),
    ("unknown stability", [], [(GET + ".x-stability-level", 7)], "B"),
    ("deprecated", [], [(GET + ".deprecated", True)], "-"),
    ("deprecated with an end", [], [(GET + ".deprecated", True), (GET + ".x-sunset", LATER)], "-"),
    ("deprecated with an end as a moment", [], [(GET + ".deprecated", True), (GET + ".x-sunset", LATER + "T00:00:00Z")],
     "-"),
    ("deprecated with an end that has passed", [], [(GET + ".deprecated", True), (GET + ".x-sunset", PAST)], "B"),
    ("deprecated with an unreadable end", [], [(GET + ".deprecated", True), (GET + ".x-sunset", "soon")], "B"),
    ("no longer deprecated", [(GET + ".deprecated", True)], [(GET + ".deprecated", None)], "-"),
    ("end withdrawn", [(GET, {**operation(), **END})], [(GET + ".x-sunset", None)], "B"),
    ("end and deprecation withdrawn", [(GET, {**operation(), **END})],
     [(GET + ".x-sunset", None), (GET + ".deprecated", None)], "-"),
    ("end earlier", [(GET, {**operation(), **END})], [(GET + ".x-sunset", SOON)], "-"),
    ("end later", [(GET, {**operation(), **OLD, "x-sunset": SOON})], [(GET + ".x-sunset", LATER)], "-"),
    ("end in the past", [(GET, {**operation(), **END})], [(GET + ".x-sunset", PAST)], "B"),
    ("end became unreadable", [(GET, {**operation(), **END})], [(GET + ".x-sunset", "soon")], "B"),
    ("end became readable", [(GET, {**operation(), **OLD, "x-sunset": "soon"})], [(GET + ".x-sunset", LATER)], "B"),
    # names and words
    ("another operationId", [], [(GET + ".operationId", "fetch")], "-"),
    ("no operationId", [], [(GET + ".operationId", None)], "-"), ("another tag", [], [(GET + ".tags", ["b"])], "-"),
    ("words", [], [(GET + ".summary", "Reads"), ("info.description", "Words"), (OK + ".description", "Fine")], "-"),
    ("version", [], [("info.version", "2024-06-01")], "-"),
    ("schema that nobody uses changed", [], [("components.schemas.Unused.properties.z", WHOLE)], "-"),
    ("schema that nobody uses removed", [], [("components.schemas.Unused", None)], "-"),
    ("schema that contains itself changed", [], [("components.schemas.Node.properties.v", WHOLE)], "B"),
    ("schema that contains itself gains a property", [], [("components.schemas.Node.properties.w", WHOLE)], "-"),
    # parameters
    ("required parameter added", [], [(GET + ".parameters.2", query(TEXT, "n", required=True))], "B"),
    ("optional parameter added", [], [(GET + ".parameters.2", query(TEXT, "n"))], "-"),
    ("required header added", [], [(GET + ".parameters.2", {**query(TEXT, "n", required=True), "in": "header"})], "B"),
    ("required cookie added", [], [(GET + ".parameters.2", {**query(TEXT, "n", required=True), "in": "cookie"})], "B"),
    ("required parameter with a default added", [], [
        (GET + ".parameters.2", query(text(default="a"), "n", required=True))], "B"),
    ("path parameter declared", [], [(POST + ".parameters.1", {**IDENTITY, "name": "y"})], "B"),
    ("optional parameter removed", [], [(GET + ".parameters", [IDENTITY])], "?"),
    ("required parameter removed", [parameter(required=True)], [(GET + ".parameters", [IDENTITY])], "?"),
    ("deprecated parameter removed", [parameter(**OLD)], [(GET + ".parameters", [IDENTITY])], "-"),
    ("parameter removed before its end", [parameter(**END)], [(GET + ".parameters", [IDENTITY])], "B"),
    ("parameter removed after its end", [parameter(**OLD, **{"x-sunset": PAST})], [(GET + ".parameters", [IDENTITY])],
     "-"),
    ("parameter with an unreadable end removed", [parameter(**OLD, **{"x-sunset": "soon"})],
     [(GET + ".parameters", [IDENTITY])], "B"),
    ("parameter becomes required", [], [parameter(required=True)], "B"),
    ("parameter becomes optional", [parameter(required=True)], [parameter()], "-"),
    ("parameter deprecated", [], [parameter(**OLD)], "-"),
    ("parameter no longer deprecated", [parameter(**OLD)], [parameter()], "-"),
    ("parameter deprecated with an end that has passed", [], [parameter(**OLD, **{"x-sunset": PAST})], "B"),
    ("end of a parameter withdrawn", [parameter(**END)], [parameter(**OLD)], "B"),
    ("end of a parameter moved to the past", [parameter(**END)], [parameter(**OLD, **{"x-sunset": PAST})], "B"),
    ("parameter moved to a header", [], [parameter(**{"in": "header"})], "?"),
    ("parameter renamed", [], [parameter(name="columns")], "?"),
    ("parameter in another style", [], [parameter(style="pipeDelimited")], "B"),
    ("list in one value", [], [parameter(explode=False)], "B"),
    ("explode of a single value", [parameter(schema=TEXT)], [parameter(schema=TEXT, explode=False)], "-"),
    ("reserved characters allowed", [], [parameter(allowReserved=True)], "-"),
    ("reserved characters forbidden", [parameter(allowReserved=True)], [parameter()], "B"),
    ("parameter becomes JSON", [],
     [(GET + ".parameters.1", {"name": "fields", "in": "query", **body(FIELDS["schema"])})], "B"),
    ("parameter in JSON of another type", [(GET + ".parameters.1", {"name": "f", "in": "query", **body(TEXT)})],
     [(GET + ".parameters.1", {"name": "f", "in": "query", **body(WHOLE)})], "B"),
    ("header parameter in another case", [parameter(name="X-A", **{"in": "header"})],
     [parameter(name="x-a", **{"in": "header"})], "-"),
    ("query parameter in another case", [], [parameter(name="Fields")], "?"),
    ("parameters in another order", [], [(GET + ".parameters", [FIELDS, IDENTITY])], "-"),
    ("parameter becomes a component", [], [(GET + ".parameters.1", {"$ref": "#/components/parameters/F"}),
                                           ("components.parameters", {"F": FIELDS})], "-"),
    ("parameter of all operations added", [], [(ITEM + ".parameters", [query(TEXT, "n")])], "-"),
    ("required parameter of all operations added", [], [(ITEM + ".parameters", [query(TEXT, "n", required=True)])],
     "B"),
    ("parameter of all operations removed", [(ITEM + ".parameters", [query(TEXT, "n")])],
     [(ITEM + ".parameters", None)], "?"),
    ("parameter of all operations becomes required", [(ITEM + ".parameters", [query(TEXT, "n")])],
     [(ITEM + ".parameters", [query(TEXT, "n", required=True)])], "B"),
    ("parameter of all operations of another type", [(ITEM + ".parameters", [query(TEXT, "n")])],
     [(ITEM + ".parameters", [query(WHOLE, "n")])], "B"),
    ("parameter moved to all operations", [], [(ITEM + ".parameters", [IDENTITY]), (GET + ".parameters", [FIELDS]),
                                               (POST + ".parameters", None)], "-"),
    ("parameter of all operations overridden", [(ITEM + ".parameters", [query(WHOLE, "fields")])], [], "-"),
    ("parameter of all operations no longer overridden", [(ITEM + ".parameters", [query(several(TEXT, maxItems=1),
                                                                                        "fields")])],
     [(GET + ".parameters", [IDENTITY])], "B"),
    # request bodies
    ("body removed", [], [(POST + ".requestBody", None)], "B"),
    ("optional body added", [(POST + ".requestBody", None)], [posting(body(NODE))], "-"),
    ("required body added", [(POST + ".requestBody", None)], [posting(body(NODE, required=True))], "B"),
    ("body becomes required", [], [(POST + ".requestBody.required", True)], "B"),
    ("body becomes optional", [(POST + ".requestBody.required", True)], [(POST + ".requestBody.required", False)], "-"),
    ("body becomes a component", [], [posting({"$ref": "#/components/requestBodies/N"}),
                                      ("components.requestBodies", {"N": body(NODE)})], "-"),
    ("type accepted", [], [(POST + ".requestBody.content.text/csv", {})], "-"),
    ("type no longer accepted", [(POST + ".requestBody.content.text/csv", {})],
     [(POST + ".requestBody.content.text/csv", None)], "B"),
    ("another type accepted", [], [posting(media("application/xml"))], "B"),
    ("type with a charset accepted", [], [posting(media("application/json; charset=utf-8"))], "-"),
    ("type in another case accepted", [], [posting(media("Application/JSON"))], "-"),
    ("special type accepted", [], [posting(media("application/problem+json"))], "-"),
    ("every type accepted", [], [posting(media("*/*"))], "-"),
    ("every application type accepted", [], [posting(media("application/*"))], "-"),
    ("every type accepted in place of two", [(POST + ".requestBody.content.text/csv", {"schema": NODE})],
     [posting(media("*/*"))], "-"),
    ("not every type accepted", [posting(media("*/*"))], [posting(media("application/json"))], "B"),
    ("body needs a form", [posting(media("application/json", None))], [posting(media("application/json"))], "B"),
    ("body needs no form", [], [posting(media("application/json", None))], "-"),
    ("number becomes text in a text", [posting(media("text/plain", WHOLE))], [posting(media("text/plain", TEXT))], "-"),
    ("number becomes text in JSON with a charset", [posting(media("application/json;charset=utf-8", WHOLE))],
     [posting(media("application/json;charset=utf-8", TEXT))], "B"),
    ("number becomes text in any type", [posting(media("*/*", WHOLE))], [posting(media("*/*", TEXT))], "B"),
    ("part of a form in another type", [posting(media("multipart/form-data"))], [
        posting({"content": {"multipart/form-data": {"schema": NODE,
                                                     "encoding": {"v": {"contentType": "text/csv"}}}}})], "B"),
    # responses
    ("200 removed", [], [(OK, None)], "B"), ("404 removed", [], [(GET + ".responses.404", None)], "-"),
    ("default removed", [], [(GET + ".responses.default", None)], "?"),
    ("200 becomes 201", [], [(GET + ".responses.201", BASE["paths"]["/x/{id}"]["get"]["responses"]["200"]), (OK, None)],
     "B"),
    ("200 becomes 2XX", [], [(GET + ".responses.2XX", BASE["paths"]["/x/{id}"]["get"]["responses"]["200"]), (OK, None)],
     "-"),
    ("2XX becomes 200", [], [(POST + ".responses", {"200": {"description": "ok"}})], "-"),
    ("2XX removed", [], [(POST + ".responses", {"404": {"description": "none"}})], "B"),
    ("5XX removed", [(GET + ".responses.5XX", {"description": "trouble"})], [(GET + ".responses.5XX", None)], "-"),
    ("201 added", [], [(GET + ".responses.201", {"description": "made"})], "-"),
    ("500 added", [], [(GET + ".responses.500", {"description": "trouble"})], "-"),
    ("default added", [], [(POST + ".responses.default", {"description": "rest"})], "-"),
    ("type of a 404 changed", [(GET + ".responses.404", {"description": "", **body(TEXT)})],
     [(GET + ".responses.404", {"description": "", **body(WHOLE)})], "B"),
    ("type of the default changed", [(GET + ".responses.default", {"description": "", **body(TEXT)})],
     [(GET + ".responses.default", {"description": "", **body(WHOLE)})], "B"),
    ("type no longer returned", [], [answering(text_csv=TEXT)], "B"),
    ("type returned too", [], [answering(application_json=NODE, text_csv=TEXT)], "-"),
    ("no content", [], [(OK + ".content", None)], "B"),
    ("content where none was", [(OK + ".content", None)], [answering(application_json=NODE)], "-"),
    ("charset returned", [], [(OK + ".content", media("application/json; charset=utf-8")["content"])], "-"),
    ("special type returned", [], [(OK + ".content", media("application/problem+json")["content"])], "-"),
    ("general type returned", [(OK + ".content", media("application/problem+json")["content"])],
     [(OK + ".content", media("application/json")["content"])], "B"),
    ("answer without a form", [], [(OK + ".content", media("application/json", None)["content"])], "B"),
    ("answer got a form", [(OK + ".content", media("application/json", None)["content"])], [], "-"),
    ("xml answer in place of text", [(OK + ".content", media("application/xml", TEXT)["content"])],
     [(OK + ".content", media("application/xml", THING)["content"])], "-"),
    ("xml answer in place of numbers", [(OK + ".content", media("application/xml", WHOLE)["content"])],
     [(OK + ".content", media("application/xml", THING)["content"])], "B"),
    ("any type returned", [], [(OK + ".content", media("application/*")["content"])], "B"),
    ("one type of any returned", [(OK + ".content", media("*/*")["content"])], [], "-"),
    ("required header removed", [], [(OK + ".headers", {"X-O": {"schema": TEXT}})], "B"),
    ("optional header removed", [], [(OK + ".headers", {"X-R": {"required": True, "schema": TEXT}})], "?"),
    ("header added", [], [(OK + ".headers.X-N", {"schema": TEXT})], "-"),
    ("header becomes optional", [], [(OK + ".headers.X-R.required", False)], "B"),
    ("header becomes required", [], [(OK + ".headers.X-O.required", True)], "-"),
    ("header in another case", [], [(OK + ".headers", {"x-r": {"required": True, "schema": TEXT},
                                                       "x-o": {"schema": TEXT}})], "-"),
    ("number in a header becomes text", [(OK + ".headers.X-O.schema", WHOLE)], [(OK + ".headers.X-O.schema", TEXT)],
     "B"),
    ("text in a header becomes a number", [], [(OK + ".headers.X-O.schema", WHOLE)], "-"),
    ("format of a header dropped", [(OK + ".headers.X-O.schema", text(format="date"))], [], "-"),
    # security
    ("key needed", [], [(GET + ".security", [{"key": []}])], "B"),
    ("key no longer needed", [(GET + ".security", [{"key": []}])], [(GET + ".security", [])], "-"),
    ("another way in", [(GET + ".security", [{"key": []}])], [(GET + ".security", [{"key": []}, {"login": []}])], "-"),
    ("one way in gone", [(GET + ".security", [{"key": []}, {"login": []}])], [(GET + ".security", [{"key": []}])], "B"),
    ("both needed", [(GET + ".security", [{"key": []}])], [(GET + ".security", [{"key": [], "login": []}])], "B"),
    ("one of both needed", [(GET + ".security", [{"key": [], "login": []}])], [(GET + ".security", [{"key": []}])],
     "-"),
    ("another scope needed", [(GET + ".security", [{"login": ["read"]}])],
     [(GET + ".security", [{"login": ["read", "write"]}])], "B"),
    ("scope no longer needed", [(GET + ".security", [{"login": ["read", "write"]}])],
     [(GET + ".security", [{"login": ["read"]}])], "-"),
    ("nobody unknown let in", [(GET + ".security", [{}, {"key": []}])], [(GET + ".security", [{"key": []}])], "B"),
    ("ways in another order", [(GET + ".security", [{"login": ["read", "write"]}, {"key": []}])],
     [(GET + ".security", [{"key": []}, {"login": ["write", "read"]}])], "-"),
    ("key needed everywhere", [], [("security", [{"key": []}])], "B"),
    ("key needed nowhere", [("security", [{"key": []}])], [("security", None)], "-"),
    ("security moved to the operations", [("security", [{"key": []}])],
     [("security", None), (GET + ".security", [{"key": []}]), (POST + ".security", [{"key": []}])], "-"),
    ("scheme of another type", [("security", [{"key": []}])], [("components.securitySchemes.key", LOGIN)], "B"),
    ("key in another header", [("security", [{"key": []}])], [("components.securitySchemes.key.name", "L")], "B"),
    ("key in the query", [("security", [{"key": []}])], [("components.securitySchemes.key.in", "query")], "B"),
    ("bearer becomes basic", [("security", [{"key": []}]), ("components.securitySchemes.key",
                                                            {"type": "http", "scheme": "bearer"})],
     [("components.securitySchemes.key.scheme", "basic")], "B"),
    ("scope no longer offered", [], [("components.securitySchemes.login.flows.implicit.scopes", {"read": ""})], "-"),
    ("login at another address", [],
     [("components.securitySchemes.login.flows.implicit.authorizationUrl", "https://b.example")], "-"),
    ("scheme added", [], [("components.securitySchemes.more", {"type": "http", "scheme": "basic"})], "-"),
    ("scheme that nobody uses removed", [], [("components.securitySchemes.login", None)], "-"),
    # servers
    ("another server", [("servers", [{"url": "https://a.example/v1"}])],
     [("servers", [{"url": "https://b.example/v1"}])], "?"),
    ("one more server", [("servers", [{"url": "https://a.example"}])],
     [("servers", [{"url": "https://a.example"}, {"url": "https://b.example"}])], "-"),
    ("secure server", [("servers", [{"url": "http://a.example"}])], [("servers", [{"url": "https://a.example"}])], "-"),
    ("slash at the end of the server", [("servers", [{"url": "https://a.example/"}])],
     [("servers", [{"url": "https://a.example"}])], "-"),
    # what the provider calls
    ("callback removed", [(POST + ".callbacks", {"done": {"{$url}": {"post": operation()}}})],
     [(POST + ".callbacks", None)], "B"),
    ("callback added", [], [(POST + ".callbacks", {"done": {"{$url}": {"post": operation()}}})], "-"),
    ("callback sends a required property more", [
        (POST + ".callbacks", {"done": {"{$url}": {"post": operation(requestBody=body(A))}}})],
     [(POST + ".callbacks", {"done": {"{$url}": {"post": operation(requestBody=body(thing("ab", a=TEXT, b=TEXT)))}}})],
     "-"),
    ("callback gets no answer in its type", [(POST + ".callbacks", {"done": {"{$url}": {"post": operation(
        responses={"200": {"description": "", **body(A)}})}}})], [(POST + ".callbacks", {"done": {"{$url}": {
            "post": operation(responses={"200": {"description": "", **body(thing("ab", a=TEXT, b=TEXT))}})}}})], "B"),
    ("webhook added", [], [("webhooks", {"done": {"post": operation()}})], "-"),
    ("webhook removed", [("webhooks", {"done": {"post": operation()}})], [("webhooks", None)], "B"),
    ("webhook sends no more body", [("webhooks", {"done": {"post": operation(requestBody=body(A))}})],
     [("webhooks", {"done": {"post": operation()}})], "B"),
    ("webhook sends a property less", [("webhooks", {"done": {"post": operation(requestBody=body(A))}})],
     [("webhooks", {"done": {"post": operation(requestBody=body(THING))}})], "B"),
    ("link added", [], [(OK + ".links", {"next": {"operationId": "read"}})], "-"),
    ("link removed", [(OK + ".links", {"next": {"operationId": "read"}})], [(OK + ".links", None)], "-"),
]


@pytest.mark.parametrize("old_edits, more_edits, expected", [pytest.param(*row[1:], id=row[0]) for row in EDITS])
def test_edit_of_an_operation_weighs_what_it_costs_its_callers(old_edits, more_edits, expected):
    before = base(*old_edits)
    assert verdict(before, edited(before, *more_edits)) == VERDICT[expected]
