"""The runbook undoes what the plan does: last first, with the plan's own scripts, and nothing invented."""

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from running import SCRIPTS, execute

SCRIPT = {
    "id": "001_expand_a",
    "phase": "expand",
    "script_type": "sql",
    "description": "Add a",
    "script_content": "DO;",
    "rollback_script": "UNDO A;",
    "validation_query": "SELECT true;",
    "reversibility": "lossless",
    "data_loss": None,
}
PLAN: Dict[str, Any] = {
    "migration_id": "abc123def456",
    "source_system": "Old shop",
    "target_system": "New shop",
    "phases": [
        {"name": "expand", "scripts": [SCRIPT, {**SCRIPT, "id": "002_expand_b", "rollback_script": "UNDO B;"}]},
        {
            "name": "contract",
            "dependencies": ["expand"],
            "rollback_triggers": ["error_rate > 0.01 for 5 min: automatic_rollback"],
            "scripts": [{**SCRIPT, "id": "003_contract_c", "rollback_script": "UNDO C;"}],
        },
    ],
    "specification": {
        "feature_flags": [{"name": "new_cart", "initial_percentage": 0}],
        "constraints": {"data_volume_gb": 2500, "max_downtime_minutes": 30},
        "tables_to_migrate": [{"name": "orders"}],
    },
}
OLD_PLAN = {
    "migration_id": "abc",
    "phases": [
        {
            "name": "preparation",
            "description": "Prepare",
            "duration_hours": 8,
            "validation_criteria": ["All backups completed successfully"],
            "rollback_triggers": ["Critical system failure"],
            "risk_level": "medium",
        }
    ],
}


def runbook(folder: Path, plan: Any, *options: str, code: int = 0) -> Dict[str, Any]:
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    done = execute(
        ["python3", SCRIPTS / "rollback_generator.py", "-i", folder / "plan.json", "-q", "-f", "json", *options]
    )
    assert done.code == code, done.err
    return done.json


def contents(book: Dict[str, Any]) -> List[str]:
    return [step["script_content"] for phase in book["rollback_phases"] for step in phase["steps"]]


def test_scripts_are_undone_in_reverse(tmp_path: Path) -> None:
    sql = [text for text in contents(runbook(tmp_path, PLAN)) if text.startswith("UNDO")]
    assert sql == ["UNDO C;", "UNDO B;", "UNDO A;"]


def test_from_phase_leaves_out_what_never_started(tmp_path: Path) -> None:
    sql = [text for text in contents(runbook(tmp_path, PLAN, "--from-phase", "expand")) if text.startswith("UNDO")]
    assert sql == ["UNDO B;", "UNDO A;"]


def test_flag_goes_back_to_where_it_stood(tmp_path: Path) -> None:
    assert any("new_cart to 0 %" in text for text in contents(runbook(tmp_path, PLAN)))


def test_placeholder_blocks_until_it_is_filled(tmp_path: Path) -> None:
    assert runbook(tmp_path, PLAN, "--strict", code=1)["readiness"]["executable"] is False
    filled = runbook(tmp_path, PLAN, "--strict", "--fill", "flag_service=flags.internal", "--fill", "database=shop")
    assert filled["readiness"] == {"executable": True, "blockers": [], "warnings": filled["readiness"]["warnings"]}


def test_restore_is_refuted_by_arithmetic(tmp_path: Path) -> None:
    assert (
        "2500 GB at 200 MB/s (assumed) = 208 min > 30 min: not viable within the allowed outage; 30 min would need "
        "1,389 MB/s" in runbook(tmp_path, PLAN)["data_recovery_plan"]["restore_viability"]
    )


def test_point_of_no_return_is_the_first_lossy_script(tmp_path: Path) -> None:
    lossy = json.loads(json.dumps(PLAN))
    lossy["phases"][0]["scripts"][1].update(reversibility="lossy", data_loss="rows of b")
    point = runbook(tmp_path, lossy)["point_of_no_return"]
    assert (point["phase"], point["step_id"], point["reason"]) == ("expand", "002_expand_b", "rows of b")
    assert runbook(tmp_path, PLAN)["point_of_no_return"]["phase"] is None


def test_trigger_keeps_metric_threshold_and_action(tmp_path: Path) -> None:
    trigger = runbook(tmp_path, PLAN)["trigger_conditions"][0]
    assert trigger["metric_threshold"] == {
        "metric": "error_rate",
        "operator": ">",
        "value": 0.01,
        "unit": None,
        "duration_minutes": 5.0,
    }
    assert trigger["action"] == "automatic_rollback"


def test_old_plan_still_gives_a_runbook(tmp_path: Path) -> None:
    book = runbook(tmp_path, OLD_PLAN)
    assert [phase["phase_name"] for phase in book["rollback_phases"]] == ["rollback_preparation"]
    assert "{{backup_location}}" in contents(book)[0]


BROKEN = [
    pytest.param([], "phases", id="a list"),
    pytest.param({"phases": [{"name": 3}]}, "phases[0].name", id="name is a number"),
    pytest.param({"phases": [{"name": "a", "dependencies": ["b"]}]}, "phases[0].dependencies", id="unknown phase"),
    pytest.param({"phases": [{"name": "a", "dependencies": ["a"]}]}, "cycle", id="cycle"),
]


@pytest.mark.parametrize("plan, word", BROKEN)
def test_plan_that_is_not_valid_is_refused(tmp_path: Path, plan: Any, word: str) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    done = execute(["python3", SCRIPTS / "rollback_generator.py", "-i", tmp_path / "plan.json"])
    assert done.code in (1, 3) and word in done.err and not done.out
