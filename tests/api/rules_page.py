"""Writes references/api_rules.md from the rules: `PYTHONPATH=scripts:tests python3 tests/api/rules_page.py`."""
import itertools
import re
from pathlib import Path
from typing import Dict, Iterator, List

import compatibility_checker as checker

PAGE = Path(__file__).resolve().parent.parent.parent / "references" / "api_rules.md"

# Our rule -> the ids of oasdiff 1.28 (oasdiff/oasdiff, directory checker) that report the same; {a,b} stands for both.
OASDIFF = """
path_removed: api-path-removed-without-deprecation
operation_removed: api-removed-without-deprecation
operation_removed_before_sunset: api-{path-removed,removed}-before-sunset
operation_removed_after_deprecation: api-{path-removed,removed}-with-deprecation
operation_added: endpoint-added
operation_deprecated: endpoint-deprecated
operation_deprecated_with_sunset: endpoint-deprecated-with-sunset
operation_undeprecated: endpoint-reactivated
operation_id_changed: api-operation-id-{removed,added}
operation_tags_changed: api-tag-{removed,added}
sunset_invalid: api-path-sunset-parse api-deprecated-sunset-parse request-parameter-sunset-parse
sunset_missing: api-deprecated-sunset-missing request-parameter-deprecated-sunset-missing
sunset_too_soon: api-sunset-date-too-small request-parameter-sunset-date-too-small
sunset_removed: sunset-deleted request-parameter-sunset-deleted
sunset_moved_too_close: api-sunset-date-changed-too-small request-parameter-sunset-date-changed-too-small
stability_invalid: api-invalid-stability-level
stability_lowered: api-stability-decreased
stability_raised: api-stability-increased
webhook_added: webhook-added
webhook_removed: webhook-removed
version_not_raised: api-version-not-bumped api-version-decreased api-major-version-not-bumped
named_schema_removed: api-schema-removed
security_tightened: api-security-{added,removed} api-security-scope-added api-global-security-{added,removed}
  api-global-security-scope-added
security_loosened: api-security-{added,removed} api-security-scope-removed api-global-security-{added,removed}
  api-global-security-scope-removed
security_scheme_changed: api-security-component-type-changed
security_scheme_address_changed: api-security-component-oauth-url-changed
  api-security-component-oauth-token-url-changed
security_scheme_scopes_changed: api-security-component-oauth-scope-{added,removed,changed}
security_scheme_added: api-security-component-added
security_scheme_removed: api-security-component-removed
required_parameter_added: new-required-request-parameter new-request-path-parameter
  new-required-request-default-parameter-to-existing-path
optional_parameter_added: new-optional-request-parameter new-optional-request-default-parameter-to-existing-path
parameter_removed: request-parameter-removed
parameter_removed_after_deprecation: request-parameter-removed-with-deprecation
parameter_removed_before_sunset: request-parameter-removed-before-sunset
parameter_became_required: request-parameter-became-required
parameter_became_optional: request-parameter-became-optional
parameter_deprecated: request-parameter-deprecated
parameter_undeprecated: request-parameter-reactivated
object_in_text_changed: new-required-request-header-property request-header-property-became-required
request_body_added_required: request-body-added-required
request_body_added_optional: request-body-added-optional
request_body_removed: request-body-removed
request_body_became_required: request-body-became-required
request_body_became_optional: request-body-became-optional
request_media_type_removed: request-body-media-type-removed
request_media_type_added: request-body-media-type-added
request_schema_added: request-body-media-type-schema-added
request_schema_removed: request-body-media-type-schema-removed
response_removed: response-success-status-removed
error_response_removed: response-non-success-status-removed
response_added: response-{success,non-success}-status-added
response_media_type_removed: response-media-type-removed
response_media_type_added: response-media-type-added
response_media_type_renamed: response-media-type-name-changed
response_media_type_generalized: response-media-type-name-generalized
response_media_type_specialized: response-media-type-name-specialized
response_schema_added: response-body-media-type-schema-added
response_schema_removed: response-body-media-type-schema-removed
response_header_removed: required-response-header-removed
optional_response_header_removed: optional-response-header-removed
response_header_added: response-header-added
response_header_became_optional: response-header-became-optional
request_type_narrowed:
  {request-body,request-property,request-parameter,request-parameter-property}-list-of-types-narrowed
  request-parameter-property-type-specialized {request-body,request-property,request-parameter}-type-changed
request_type_widened:
  {request-body,request-property,request-parameter,request-parameter-property}-list-of-types-widened
  {request-body,request-property,request-parameter,request-parameter-property}-type-generalized
response_type_narrowed: response-{body,property}-list-of-types-narrowed
  response-{body,property,header}-type-specialized
response_type_widened: response-{body,property}-list-of-types-widened response-{body,property,header}-type-generalized
  response-{body,property}-type-changed response-header-type-changed
type_changed:
  {request-body,request-property,request-parameter,response-body,response-property,response-header}-type-changed
  request-parameter-property-type-specialized
text_type_changed: {request-body,request-property,response-body,response-property,response-header}-type-compatible
text_type_unclear: request-parameter-property-type-changed
request_format_added: {request-body,request-property,request-parameter}-type-changed
  request-parameter-property-type-specialized
request_format_narrowed: {request-body,request-property,request-parameter}-type-changed
  request-parameter-property-type-specialized
request_format_removed: {request-body,request-property,request-parameter}-type-generalized
request_format_widened: {request-body,request-property,request-parameter}-type-generalized
response_format_added: response-{body,property,header}-type-specialized
response_format_narrowed: response-{body,property,header}-type-specialized
response_format_removed: response-{body,property,header}-type-generalized response-{body,property,header}-type-changed
response_format_widened: response-{body,property,header}-type-generalized response-{body,property,header}-type-changed
format_changed:
  {request-body,request-property,request-parameter,response-body,response-property,response-header}-type-changed
  request-parameter-property-type-specialized
request_became_nullable: {request-body,request-property,request-parameter,request-parameter-property}-became-nullable
request_became_not_nullable:
  {request-body,request-property,request-parameter,request-parameter-property}-became-not-nullable
response_became_nullable: response-{body,property,header}-became-nullable
response_became_not_nullable: response-{body,property,header}-became-not-nullable
request_enum_added: request-{body,property,parameter,header-property}-became-enum
request_enum_removed: request-{body,property,parameter,parameter-property}-enum-value-removed
request_enum_value_removed: request-{body,property,parameter,parameter-property,read-only-property}-enum-value-removed
request_enum_value_added: request-{property,parameter,parameter-property}-enum-value-added
response_enum_value_added: response-property-enum-value-added response-write-only-property-enum-value-added
response_enum_value_removed: response-{property,mediatype}-enum-value-removed
response_enum_removed: response-{property,mediatype}-enum-value-removed
request_extensible_value_removed: request-{property,parameter}-x-extensible-enum-value-removed
request_const_added: request-{body,property}-const-added
request_const_removed: request-{body,property}-const-removed
response_const_added: response-{body,property}-const-added
response_const_removed: response-{body,property}-const-removed
const_changed: {request,response}-{body,property}-const-changed
request_minimum_set: request-{body,property,parameter}-{min,exclusive-min}-set
request_minimum_increased: request-{body,property,parameter,read-only-property}-{min,exclusive-min}-increased
request_minimum_decreased: request-{body,property,parameter}-{min,exclusive-min}-decreased
response_minimum_decreased: response-{body,property}-{min,exclusive-min}-decreased
request_maximum_set: request-{body,property,parameter}-{max,exclusive-max}-set
request_maximum_decreased: request-{body,property,parameter,read-only-property}-{max,exclusive-max}-decreased
request_maximum_increased: request-{body,property,parameter}-{max,exclusive-max}-increased
response_maximum_increased: response-{body,property}-{max,exclusive-max}-increased
request_max_length_set: request-{body,property,parameter}-max-length-set
request_max_length_decreased: request-{body,property,parameter,read-only-property}-max-length-decreased
request_max_length_increased: request-{body,property,parameter}-max-length-increased
response_max_length_increased: response-{body,property}-max-length-increased
response_max_length_unset: response-{body,property}-max-length-unset
request_min_length_increased: request-{body,property,parameter}-min-length-increased
request_min_length_decreased: request-{body,property,parameter}-min-length-decreased
response_min_length_decreased: response-{body,property}-min-length-decreased
request_min_items_increased: request-{body,property,parameter}-min-items-{set,increased}
request_min_items_decreased: request-parameter-min-items-decreased
response_min_items_decreased: response-{body,property}-min-items-{decreased,unset}
request_max_items_decreased: request-parameter-max-items-decreased
request_max_items_increased: request-parameter-max-items-increased
request_min_contains_increased: request-{body,property}-min-contains-increased
request_min_contains_decreased: request-{body,property}-min-contains-decreased
response_min_contains_increased: response-{body,property}-min-contains-increased
response_min_contains_decreased: response-{body,property}-min-contains-decreased
request_max_contains_decreased: request-{body,property}-max-contains-decreased
request_max_contains_increased: request-{body,property}-max-contains-increased
response_max_contains_decreased: response-{body,property}-max-contains-decreased
response_max_contains_increased: response-{body,property}-max-contains-increased
request_pattern_added: request-{property,parameter}-pattern-added
request_pattern_removed: request-{property,parameter}-pattern-{removed,generalized}
pattern_changed: request-{property,parameter}-pattern-changed response-property-pattern-changed
response_pattern_added: response-property-pattern-added
response_pattern_removed: response-property-pattern-removed
optional_property_added: new-optional-request-property response-optional-property-added
  response-optional-write-only-property-added
request_required_property_added: new-required-request-property new-required-request-property-with-default
  new-required-request-header-property
response_required_property_added: response-required-property-added response-required-write-only-property-added
request_property_removed: request-property-removed
optional_property_removed: request-property-removed response-optional-property-removed
response_property_removed: response-required-property-removed
property_forbidden: request-property-removed response-required-property-removed
request_optional_property_forbidden: request-property-removed
response_optional_property_forbidden: response-optional-property-removed
hidden_property_removed: response-{required,optional}-write-only-property-removed
request_property_became_required: request-property-became-required request-property-became-required-with-default
  request-header-property-became-required
request_property_became_optional: request-property-became-optional
response_property_became_required: response-property-became-required
response_property_became_optional: response-property-became-optional
hidden_property_required_changed: response-write-only-property-became-{optional,required}
property_read_only_changed: {request,response}-{required,optional}-property-became-{read-only,not-read-only}
property_write_only_changed: request-{required,optional}-property-became-{write-only,not-write-only}
  response-{required,optional}-property-became-write-only response-optional-property-became-not-write-only
response_required_property_revealed: response-required-property-became-not-write-only
request_schema_keyword_added:
  request-{body,property}-{if,then,else,contains,property-names}-added
  request-{body,property}-{unevaluated-items,content-schema,dependent-schema,pattern-property}-added
request_schema_keyword_removed:
  request-{body,property}-{if,then,else,contains,property-names}-removed
  request-{body,property}-{unevaluated-items,content-schema,dependent-schema,pattern-property}-removed
response_schema_keyword_added:
  response-{body,property}-{if,then,else,contains,property-names}-added
  response-{body,property}-{unevaluated-items,content-schema,dependent-schema,pattern-property}-added
response_schema_keyword_removed:
  response-{body,property}-{if,then,else,contains,property-names}-removed
  response-{body,property}-{unevaluated-items,content-schema,dependent-schema,pattern-property}-removed
request_tuple_item_added: request-{body,property}-prefix-items-added
request_tuple_item_removed: request-{body,property}-prefix-items-removed
response_tuple_item_added: response-{body,property}-prefix-items-added
response_tuple_item_removed: response-{body,property}-prefix-items-removed
request_dependent_required_added: request-{body,property}-dependent-required-added
request_dependent_required_removed: request-{body,property}-dependent-required-removed
response_dependent_required_added: response-{body,property}-dependent-required-added
response_dependent_required_removed: response-{body,property}-dependent-required-removed
dependent_required_changed: {request,response}-{body,property}-dependent-required-changed
content_media_type_changed: {request,response}-{body,property}-content-{media-type,encoding}-changed
request_union_member_added: request-{body,property}-{any-of,one-of}-added
request_union_member_removed: request-{body,property}-{any-of,one-of}-removed
response_union_member_added: response-{body,property}-{any-of,one-of}-added
response_union_member_removed: response-{body,property}-{any-of,one-of}-removed
wrapped_in_union: {request,response}-body-wrapped-in-one-of
discriminator_changed:
  {request,response}-{body,property}-discriminator-{added,removed,property-name-changed}
  {request,response}-{body,property}-discriminator-{mapping-added,mapping-deleted,mapping-changed}
default_changed: {request,response}-{body,property}-default-value-{added,removed,changed}
  request-parameter-default-value-{added,removed,changed}
property_deprecated: {request,response}-property-deprecated {request,response}-property-deprecated-with-sunset
property_undeprecated: {request,response}-property-reactivated
property_sunset_missing: {request,response}-property-deprecated-sunset-missing
property_sunset_invalid: {request,response}-property-deprecated-sunset-invalid
property_sunset_too_soon: {request,response}-property-sunset-date-too-small
property_stability_lowered: {request,response}-property-stability-decreased
property_stability_raised: {request,response}-property-stability-increased
property_stability_invalid: api-invalid-stability-level
request_additional_properties_restricted: request-{body,property}-unevaluated-properties-added
request_additional_properties_unrestricted: request-{body,property}-unevaluated-properties-removed
response_additional_properties_restricted: response-{body,property}-unevaluated-properties-added
response_additional_properties_unrestricted: response-{body,property}-unevaluated-properties-removed
"""
HEAD = """# Rules of `--type api`

Each finding of the checker names one rule; a rule always has the same severity. Who comes from oasdiff finds its ids in
the last column: one rule can stand for several of them, because ours do not tell body, property and parameter apart
(the place in the finding does). Where both directions weigh the same, one rule stands for requests and responses.
Members of `allOf` (oasdiff's `*-all-of-*`) are merged before anything is compared, so that they have no rule.

Contents: [breaking](#breaking) · [potentially_breaking](#potentially_breaking) · [non_breaking](#non_breaking) ·
[additive](#additive)

This page is written by `tests/api/rules_page.py`; a test fails when it is out of date.
"""


def expand(pattern: str) -> Iterator[str]:
    """Yield what braces stand for: a-{b,c} is a-b and a-c."""
    parts = [part[1:-1].split(",") if part.startswith("{") else [part]
             for part in re.findall(r"\{[^}]*\}|[^{]+", pattern)]
    return ("".join(choice) for choice in itertools.product(*parts))


def oasdiff_ids() -> Dict[str, List[str]]:
    rows = (line.split(": ", 1) for line in OASDIFF.strip().replace("\n  ", " ").splitlines())
    return {rule: sorted({name for pattern in patterns.split() for name in expand(pattern)}) for rule, patterns in rows}


def render() -> str:
    ids = oasdiff_ids()
    lines = [HEAD]
    for severity in checker.SEVERITIES:
        lines += [f"## {severity}", "", "| rule | what | oasdiff |", "|---|---|---|"]
        for rule in sorted(checker.API_RULES.values()):
            if rule.severity == severity:
                names = ", ".join(f"`{name}`" for name in ids.get(rule.id, ())) or "-"
                lines.append(f"| `{rule.id}` | {rule.title} | {names} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")
