"""Work grows with the documents and the findings, whatever refers to what."""
import gc
import json
import random
import time

import pytest

import compatibility_checker as checker
from api.documents import api, body, document, edited, operation


def shop(operations, parts, chance):
    """Return a document whose components refer to each other at random, so that every operation reaches nearly all."""
    def part():
        references = {f"r{number}": {"$ref": f"#/components/schemas/C{chance.randrange(parts)}"} for number in range(4)}
        values = {f"v{number}": {"type": "string", "maxLength": 50,
                                 "description": "Words. " * 8} for number in range(8)}
        return {"type": "object", "properties": {**values, **references}, "required": ["v0"]}

    paths = {f"/c{number}": {
        "get": operation(responses={"200": {"description": "ok",
                                            **body({"$ref": f"#/components/schemas/C{number % parts}"})}}),
        "post": operation(requestBody=body({"$ref": f"#/components/schemas/C{number * 7 % parts}"}))}
        for number in range(operations)}
    return api(paths, {f"C{number}": part() for number in range(parts)})


def compared(before, after):
    sides = checker.read_side(document(before)), checker.read_side(document(after))
    survey = checker.Survey(*sides, checker.Notice("2026-01-01"))
    return survey, checker.judge_documents(survey, list(checker.compare_documents(survey)))


@pytest.mark.parametrize("operations, parts", [(40, 60), (400, 600)])
def test_components_that_refer_to_each_other_meet_once_per_direction(operations, parts):
    before = shop(operations, parts, random.Random(1))
    edits = [(f"components.schemas.C{number}.properties.v1", {"type": "integer"}) for number in range(0, parts, 20)]
    survey, findings = compared(before, edited(before, *edits))
    assert len(findings) == len(edits)
    assert len(survey.web.pairs) <= 4 * parts  # of 2 * operations * parts ways from an operation to a component
    assert max(len(finding.operations) for finding in findings) > operations


def cpu_seconds(work):
    best = 1e9
    for _ in range(3):
        gc.collect()
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("share, most",
                         [pytest.param(200, 6, id="few changes"), pytest.param(1, 30, id="every component changes")])
def test_comparing_costs_a_few_times_what_reading_costs(share, most):
    before = shop(600, 900, random.Random(2))
    after = edited(before, *((f"components.schemas.C{number}.properties.v2",
                              {"type": "integer"}) for number in range(0, 900, share)))
    old, new = document(before), document(after)
    floor = cpu_seconds(lambda: (json.loads(old.text), json.loads(new.text)))
    assert cpu_seconds(lambda: checker.compare_apis(old, new, checker.Options())) <= most * floor + 0.05
