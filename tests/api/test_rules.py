"""The rules themselves: one severity each, whole sentences, mirrored directions, and the page that lists them."""
import pytest

import compatibility_checker as checker
from api.rules_page import PAGE, oasdiff_ids, render


def test_page_of_the_rules_is_current():
    assert PAGE.read_text(encoding="utf-8") == render()


def test_ids_of_oasdiff_belong_to_rules():
    assert set(oasdiff_ids()) <= set(checker.API_RULES)
    named = {name for names in oasdiff_ids().values() for name in names}
    assert len(named) == 509 - 16  # all of oasdiff 1.28 but *-all-of-*, whose members are merged


@pytest.mark.parametrize("rule", list(checker.API_RULES.values()), ids=list(checker.API_RULES))
def test_rule_reads_as_sentences(rule):
    assert rule.severity in checker.SEVERITIES
    for text in (rule.impact, rule.remedy):
        assert text[0].isupper() and text.endswith(".") and "{" not in text and len(text) <= 1024


def test_what_narrows_a_request_widens_a_response():
    for polarity, levels in checker.SEVERITY_OF.items():
        if polarity in ("narrower", "obliging"):
            assert (levels["request"], levels["response"]) == ("breaking", "non_breaking")
        if polarity in ("wider", "excusing"):
            assert (levels["request"], levels["response"]) == ("non_breaking", "breaking")


OPPOSITES = [("_set", "_unset"), ("_increased", "_decreased"), ("_added", "_removed"), ("_widened", "_narrowed")]
ALONE = {"min_length", "min_items", "min_properties", "min_contains"}  # zero, or one, when they are missing


def test_every_change_has_its_opposite():
    kinds = {kind.id for kind in checker.SCHEMA_KINDS}
    for kind in sorted(kinds):
        for one, other in OPPOSITES:
            for end, opposite in ((one, other), (other, one)):
                if kind.endswith(end) and not (end == "_unset" and kind[:-6] in ALONE):
                    assert any(name in kinds for name in opposites(kind, end, opposite)), kind


def opposites(kind, end, opposite):
    stem = kind[:-len(end)]
    return [stem + opposite, "property_removed" if stem.endswith("property") else stem + opposite]


def test_no_rule_means_one_thing_of_databases_and_another_of_apis():
    assert not checker.API_RULES.keys() & checker.DATABASE_RULES.keys()
