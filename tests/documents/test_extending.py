"""The changes that README.md shows: each applies to a copy of the product, and does what it says."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from running import ROOT, copy_product, execute, program

DIFFS = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the product with all changes that the page shows."""
    path = tmp_path_factory.mktemp("extended")
    copy_product(path)
    for diff in DIFFS:
        done = execute([program("git"), "apply", "-C1", "-"], stdin=diff, cwd=path)
        assert done.code == 0, done.err
    return path


def run(folder: Path, command: str, value: Any) -> Any:
    """Return the JSON that a script writes for a document on its standard input."""
    done = execute([sys.executable, *shlex.split(command), "-f", "json", "-q"], stdin=json.dumps(value), cwd=folder)
    assert done.code in (0, 1), done.err
    return done.json


def test_a_new_pattern_makes_a_plan(folder: Path) -> None:
    spec = {"type": "service", "source": "Billing 1", "target": "Billing 2", "pattern": "branch_by_abstraction"}
    plan = run(folder, "scripts/migration_planner.py -i -", spec)
    assert [phase["name"] for phase in plan["phases"]] == ["preparation", "abstract", "replace", "remove"]
    runbook = run(folder, "scripts/rollback_generator.py -i -", plan)
    assert runbook["rollback_phases"][0]["phase_name"] == "rollback_remove"


def test_a_new_rule_is_found_and_explained(folder: Path) -> None:
    (folder / "before.json").write_text('{"tables": {}}', encoding="utf-8")
    after = {"tables": {"carts": {"columns": {"id": {"type": "bigint"}}}}}
    report = run(folder, "scripts/compatibility_checker.py --before before.json --after -", after)
    assert [(issue["type"], issue["severity"]) for issue in report["issues"]] == [
        ("table_added_without_key", "potentially_breaking"), ("table_added", "additive")]
    told = execute([sys.executable, "scripts/compatibility_checker.py", "--explain", "table_added_without_key"],
                   cwd=folder)
    assert told.code == 0 and 'after:  {"columns": {"id": {"type": "bigint"}}}' in told.out


def test_a_new_step_stands_in_the_runbook(folder: Path) -> None:
    spec = {"type": "service", "source": "Shop 1", "target": "Shop 2", "pattern": "blue_green",
            "constraints": {"max_downtime_minutes": 30}}
    runbook = run(folder, "scripts/rollback_generator.py -i -", run(folder, "scripts/migration_planner.py -i -", spec))
    switch = next(phase for phase in runbook["rollback_phases"] if phase["forward_phase"] == "switch")
    step = next(step for step in switch["steps"] if step["name"].startswith("Purge"))
    assert "keys of Shop 2 in {{cache}}" in step["script_content"]
    assert "cache" in {blank["name"] for blank in runbook["placeholders"]}
