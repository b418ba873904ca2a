"""What a change of a schema means for who sends it and for who reads it."""
import pytest

from api.documents import found, query, returning, rules, sending, taking

TEXT, NUMBER, LIST, THING = {"type": "string"}, {"type": "number"}, {"type": "array"}, {"type": "object"}


def thing(required=(), **properties):
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


# old schema, new schema, rules for a request body, rules for a response body
CHANGES = [
    pytest.param(TEXT, {"type": "integer"}, ["type_changed"], ["type_changed"], id="another type"),
    pytest.param({"type": "integer"}, NUMBER, ["request_type_widened"], ["response_type_widened"],
                 id="integer to number"),
    pytest.param(NUMBER, {"type": "integer"}, ["request_type_narrowed"], ["response_type_narrowed"],
                 id="number to integer"),
    pytest.param({}, TEXT, ["request_type_narrowed"], ["response_type_narrowed"], id="any to text"),
    pytest.param({"type": ["string", "integer"]}, TEXT, ["request_type_narrowed"], ["response_type_narrowed"],
                 id="two types to one"),
    pytest.param({"oneOf": [TEXT, NUMBER]}, {"type": ["string", "number"]}, [], [], id="bare alternatives are types"),
    pytest.param(TEXT, {**TEXT, "nullable": True}, ["request_became_nullable"], ["response_became_nullable"],
                 id="nullable"),
    pytest.param({"type": ["string", "null"]}, TEXT, ["request_became_not_nullable"], ["response_became_not_nullable"],
                 id="null leaves the types"),
    pytest.param(thing(), {"oneOf": [{"type": "null"}, thing()]}, ["request_became_nullable"],
                 ["response_became_nullable"], id="null as an alternative"),
    pytest.param({**TEXT, "nullable": True}, {"anyOf": [TEXT, {"type": "null"}]}, [], [], id="two ways to allow null"),
    pytest.param(TEXT, {**TEXT, "format": "date"}, ["request_format_added"], ["response_format_added"],
                 id="format added"),
    pytest.param({**TEXT, "format": "date"}, {**TEXT, "format": "date-time"}, ["request_format_widened"],
                 ["response_format_widened"], id="wider format"),
    pytest.param({**TEXT, "format": "uuid"}, {**TEXT, "format": "email"}, ["format_changed"], ["format_changed"],
                 id="another format"),
    pytest.param(TEXT, {**TEXT, "enum": ["a"]}, ["request_enum_added"], ["response_enum_added"], id="enum appears"),
    pytest.param({**TEXT, "enum": ["a"]}, TEXT, ["request_enum_removed"], ["response_enum_removed"], id="enum dropped"),
    pytest.param({"enum": ["a", "b"]}, {"enum": ["b", "c"]}, ["request_enum_value_added", "request_enum_value_removed"],
                 ["response_enum_value_added", "response_enum_value_removed"], id="enum values come and go"),
    pytest.param({"enum": ["a", "b"]}, {"enum": ["b", "a"]}, [], [], id="enum in another order"),
    pytest.param({"const": 1}, {"const": 2}, ["const_changed"], ["const_changed"], id="another constant"),
    pytest.param({"const": "a"}, {"enum": ["a"]}, [], [], id="constant as an enum of one"),
    pytest.param(TEXT, {**TEXT, "maxLength": 9}, ["request_max_length_set"], ["response_max_length_set"],
                 id="maxLength set"),
    pytest.param({**TEXT, "minLength": 2}, TEXT, ["request_min_length_decreased"], ["response_min_length_decreased"],
                 id="minLength dropped"),
    pytest.param({**TEXT, "minLength": 0}, TEXT, [], [], id="minLength of zero says nothing"),
    pytest.param({**NUMBER, "minimum": 1}, {**NUMBER, "minimum": 0}, ["request_minimum_decreased"],
                 ["response_minimum_decreased"], id="minimum lowered"),
    pytest.param({**NUMBER, "maximum": 9}, NUMBER, ["request_maximum_unset"], ["response_maximum_unset"],
                 id="maximum dropped"),
    pytest.param({**NUMBER, "minimum": 1}, {**NUMBER, "minimum": 1, "exclusiveMinimum": True},
                 ["request_minimum_increased"],
                 ["response_minimum_increased"], id="bound excluded"),
    pytest.param({**NUMBER, "minimum": 1, "exclusiveMinimum": True}, {**NUMBER, "exclusiveMinimum": 1}, [], [],
                 id="two ways to exclude a bound"),
    pytest.param({**NUMBER, "multipleOf": 0.1}, {**NUMBER, "multipleOf": 0.3}, ["request_multiple_of_narrowed"],
                 ["response_multiple_of_narrowed"], id="coarser multiple"),
    pytest.param({**LIST, "uniqueItems": True}, LIST, ["request_unique_items_unset"], ["response_unique_items_unset"],
                 id="items may repeat"),
    pytest.param(LIST, {**LIST, "maxItems": 3}, ["request_max_items_set"], ["response_max_items_set"],
                 id="maxItems set"),
    pytest.param(THING, {**THING, "minProperties": 1}, ["request_min_properties_increased"],
                 ["response_min_properties_increased"], id="minProperties set"),
    pytest.param(TEXT, {**TEXT, "pattern": "^a"}, ["request_pattern_added"], ["response_pattern_added"],
                 id="pattern added"),
    pytest.param({**TEXT, "pattern": "^a"}, {**TEXT, "pattern": ".*"}, ["request_pattern_removed"],
                 ["response_pattern_removed"], id="pattern that takes all"),
    pytest.param({**TEXT, "pattern": "^a"}, {**TEXT, "pattern": "^b"}, ["pattern_changed"], ["pattern_changed"],
                 id="another pattern"),
    pytest.param({**LIST, "items": TEXT}, {**LIST, "items": NUMBER}, ["type_changed"], ["type_changed"],
                 id="items of another type"),
    pytest.param({**LIST, "prefixItems": [TEXT]}, {**LIST, "prefixItems": [TEXT, NUMBER]},
                 ["request_tuple_item_added"], ["response_tuple_item_added"], id="longer tuple"),
    pytest.param(thing(), thing(a=TEXT), ["optional_property_added"], ["optional_property_added"],
                 id="optional property"),
    pytest.param(thing(), thing(["a"], a=TEXT), ["request_required_property_added"],
                 ["response_required_property_added"], id="required property"),
    pytest.param(thing(), thing(["a"], a={**TEXT, "readOnly": True}), ["optional_property_added"],
                 ["response_required_property_added"], id="required readOnly property"),
    pytest.param(thing(a=TEXT), thing(), ["optional_property_removed"], ["optional_property_removed"],
                 id="optional property gone"),
    pytest.param(thing(["a"], a=TEXT), thing(), ["request_property_removed"], ["response_property_removed"],
                 id="required property gone"),
    pytest.param({**thing(a=TEXT), "additionalProperties": False}, {**thing(), "additionalProperties": False},
                 ["request_optional_property_forbidden"], ["response_optional_property_forbidden"],
                 id="optional property of a closed object gone"),
    pytest.param({**thing(["a"], a=TEXT), "additionalProperties": False}, {**thing(), "additionalProperties": False},
                 ["property_forbidden"], ["property_forbidden"], id="required property of a closed object gone"),
    pytest.param(thing(["a"], a={**TEXT, "writeOnly": True}), thing(), ["request_property_removed"],
                 ["hidden_property_removed"], id="writeOnly property gone"),
    pytest.param(thing(a=TEXT), thing(["a"], a=TEXT), ["request_property_became_required"],
                 ["response_property_became_required"], id="property becomes required"),
    pytest.param(thing(["a"], a=TEXT), thing(a=TEXT), ["request_property_became_optional"],
                 ["response_property_became_optional"], id="property becomes optional"),
    pytest.param(thing(a={**TEXT, "readOnly": True}), thing(a={**NUMBER, "readOnly": True}), [], ["type_changed"],
                 id="readOnly is never sent"),
    pytest.param(thing(a={**TEXT, "writeOnly": True}), thing(a={**NUMBER, "writeOnly": True}), ["type_changed"], [],
                 id="writeOnly is never returned"),
    pytest.param(THING, {**THING, "additionalProperties": False}, ["request_additional_properties_closed"],
                 ["response_additional_properties_closed"], id="object closed"),
    pytest.param({**THING, "additionalProperties": False}, THING, ["request_additional_properties_opened"],
                 ["response_additional_properties_opened"], id="object opened"),
    pytest.param({**THING, "additionalProperties": TEXT}, {**THING, "additionalProperties": NUMBER}, ["type_changed"],
                 ["type_changed"], id="values of a map"),
    pytest.param(THING, {**THING, "additionalProperties": {}}, [], [], id="empty schema allows anything"),
    pytest.param(TEXT, {**TEXT, "not": {"const": "a"}}, ["request_schema_keyword_added"],
                 ["response_schema_keyword_added"], id="not added"),
    pytest.param({**TEXT, "not": {"maxLength": 9}}, {**TEXT, "not": {"maxLength": 5}}, ["request_exclusion_narrowed"],
                 ["response_exclusion_narrowed"], id="not excludes less"),
    pytest.param({**TEXT, "not": {"maxLength": 5}}, {**TEXT, "not": {"maxLength": 9}}, ["request_exclusion_widened"],
                 ["response_exclusion_widened"], id="not excludes more"),
    pytest.param({**TEXT, "not": {"const": "a"}}, {**TEXT, "not": {"const": "b"}}, ["exclusion_changed"],
                 ["exclusion_changed"], id="not excludes something else"),
    pytest.param({**TEXT, "not": {"pattern": "^a"}}, {**TEXT, "not": {"pattern": "^b"}}, ["not_changed"],
                 ["not_changed"], id="not with another pattern"),
    pytest.param(THING, {**THING, "dependentRequired": {"a": ["b"]}}, ["request_dependent_required_added"],
                 ["response_dependent_required_added"], id="dependentRequired"),
    pytest.param({"oneOf": [thing(["a"], a=TEXT), thing(["b"], b=TEXT)]},
                 {"oneOf": [thing(["b"], b=TEXT), thing(["a"], a=TEXT)]}, [], [], id="alternatives in another order"),
    pytest.param({"oneOf": [thing(["a"], a=TEXT), thing(["b"], b=TEXT)]},
                 {"oneOf": [thing(["a"], a=TEXT), thing(["b"], b=TEXT), thing(["c"], c=TEXT)]},
                 ["request_union_member_added"], ["response_union_member_added"], id="alternative added"),
    pytest.param({"oneOf": [thing(["a"], a=TEXT), thing(["b"], b=TEXT)]}, thing(["a"], a=TEXT),
                 ["request_union_member_removed"], ["response_union_member_removed"], id="one alternative left"),
    pytest.param({"oneOf": [thing(["a"], a=TEXT), thing(["b"], b=TEXT)]},
                 {"anyOf": [thing(["a"], a=TEXT), thing(["b"], b=TEXT)]}, ["request_union_loosened"],
                 ["response_union_loosened"], id="oneOf to anyOf"),
    pytest.param({"oneOf": [thing(["k"], k={"const": "x"}, n=TEXT), thing(["k"], k={"const": "y"})]},
                 {"oneOf": [thing(["k"], k={"const": "y"}), thing(["k"], k={"const": "x"}, n=NUMBER)]},
                 ["type_changed"], ["type_changed"], id="alternatives told apart by a constant"),
    pytest.param(thing(["a"], a=TEXT, b=TEXT), {"allOf": [thing(a=TEXT),
                                                          {"properties": {"b": TEXT}, "required": ["a"]}]}, [], [],
                                                          id="the same in allOf"),
    pytest.param({"allOf": [thing(a={**TEXT, "maxLength": 5}), thing(a={**TEXT, "maxLength": 9})]},
                 thing(a={**TEXT, "maxLength": 5}), [], [], id="the tightest limit of allOf counts"),
    pytest.param({**TEXT, "default": "a"}, {**TEXT, "default": "b"}, ["default_changed"], ["default_changed"],
                 id="default"),
    pytest.param({**TEXT, "description": "a", "example": "x", "title": "A"}, TEXT, [], [], id="documentation"),
    pytest.param({**TEXT, "x-extensible-enum": ["a", "b"]}, {**TEXT, "x-extensible-enum": ["a"]},
                 ["request_extensible_value_removed"], ["response_extensible_value_removed"], id="x-extensible-enum"),
]


@pytest.mark.parametrize("old, new, request_rules, response_rules", CHANGES)
def test_change_is_judged_by_direction(old, new, request_rules, response_rules):
    assert rules(sending(old, version="3.1.0"), sending(new, version="3.1.0")) == request_rules
    assert rules(returning(old, version="3.1.0"), returning(new, version="3.1.0")) == response_rules


@pytest.mark.parametrize("old, new, request_rules, response_rules", CHANGES)
def test_change_is_seen_behind_a_reference_too(old, new, request_rules, response_rules):
    reference = {"$ref": "#/components/schemas/Order"}
    before, after = (sending(reference, version="3.1.0", schemas={"Order": schema}) for schema in (old, new))
    assert rules(before, after) == request_rules


# old schema, new schema, rule for a query parameter, rule for a property of a parameter object, rule for a text body
AS_TEXT = [
    pytest.param({"type": "integer"}, TEXT, "text_type_changed", "text_type_unclear", "text_type_changed",
                 id="text takes a number"),
    pytest.param(TEXT, {"type": "integer"}, "type_changed", "type_changed", "type_changed",
                 id="a number does not take text"),
    pytest.param({"type": "integer"}, NUMBER, "request_type_widened", "request_type_widened", "request_type_widened",
                 id="number takes an integer"),
]


@pytest.mark.parametrize("old, new, parameter, member, text", AS_TEXT)
def test_values_in_urls_are_text(old, new, parameter, member, text):
    assert rules(taking(query(old)), taking(query(new))) == [parameter]
    assert rules(*(taking(query(thing(a=schema), style="deepObject")) for schema in (old, new))) == [member]
    assert rules(sending(old, "text/plain"), sending(new, "text/plain")) == [text]


def test_one_value_is_a_list_of_one_in_an_exploded_parameter():
    assert rules(taking(query(TEXT)), taking(query({**LIST, "items": TEXT}))) == ["text_type_changed"]
    assert rules(taking(query(TEXT)),
                 taking(query({**LIST, "items": TEXT}, explode=False))) == ["parameter_style_changed", "type_changed"]


def test_json_with_a_charset_is_json():
    media = "application/json; charset=utf-8"
    assert rules(sending({"type": "integer"}, media), sending(TEXT, media)) == ["type_changed"]


def test_description_names_values_and_place():
    old, new = (sending(thing(address=thing(zip={**TEXT, "maxLength": length}))) for length in (9, 5))
    finding = found(old, new, "request_max_length_decreased")
    assert finding.description == '"address.zip" of the body of POST /orders: maxLength lowered from 9 to 5.'
    assert "text longer than 5 characters" in finding.impact


def test_advice_fits_what_changes():
    """A property can get another beside it; a whole body cannot."""
    assert "Add a new property" in found(sending(thing(a=TEXT)), sending(thing(a=NUMBER)), "type_changed").remedy
    assert "new version of the path" in found(sending(TEXT), sending(NUMBER), "type_changed").remedy


@pytest.mark.parametrize("old, new, rule, sent, read", [
    pytest.param(TEXT, NUMBER, "type_changed", 'a value of type "string", not "number"',
                 'a value of type "number", not "string"', id="type"),
    pytest.param({"const": "a"}, {"const": "b"}, "const_changed", '"a" in place of "b"', '"b" in place of "a"',
                 id="constant"),
    pytest.param({**TEXT, "format": "uuid"}, {**TEXT, "format": "email"}, "format_changed",
                 'a value of format "uuid", not "email"', 'a value of format "email", not "uuid"', id="format"),
])
def test_clients_send_the_old_and_read_the_new(old, new, rule, sent, read):
    version = {"version": "3.1.0"}
    request = found(sending(thing(a=old), **version), sending(thing(a=new), **version), rule)
    response = found(returning(thing(a=old), **version), returning(thing(a=new), **version), rule)
    assert request.impact == f'A client that sends {sent} in "a" was served before and is refused now.'
    assert response.impact == f'A client that reads "a" can meet {read}, which the old document ruled out.'


def test_bound_that_is_excluded_reads_as_a_number():
    old, new = ({**NUMBER, **bounds} for bounds in ({}, {"exclusiveMaximum": 9}))
    assert found(sending(old, version="3.1.0"), sending(new, version="3.1.0"),
                 "request_maximum_set").description == "The body of POST /orders: maximum 9 (excluded) set."
