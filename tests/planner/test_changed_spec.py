"""One fact of the specification changes, and the lines that rest on it change with it."""

import copy
import json
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from running import ASSETS, SCRIPTS, execute


def plan(folder: Path, spec: Dict[str, Any], *options: str) -> Dict[str, Any]:
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    done = execute(
        ["python3", SCRIPTS / "migration_planner.py", "-i", folder / "spec.json", "-q", "-f", "json", *options]
    )
    assert done.code == 0, done.err
    return done.json


def sample(name: str) -> Dict[str, Any]:
    return json.loads((ASSETS / f"sample_{name}_migration.json").read_text(encoding="utf-8"))


def text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def edited(name: str, edit: Callable[[Dict[str, Any]], Any]) -> Dict[str, Any]:
    spec = copy.deepcopy(sample(name))
    edit(spec)
    return spec


def test_more_volume_restores_longer(tmp_path: Path) -> None:
    small = plan(tmp_path, sample("database"))["rollback_plan"]["restore_hours"]["likely"]

    def grow(spec: Dict[str, Any]) -> None:
        spec["constraints"]["data_volume_gb"] *= 2
        for table in spec["tables_to_migrate"]:
            table["size_mb"] *= 2

    assert plan(tmp_path, edited("database", grow))["rollback_plan"]["restore_hours"]["likely"] == pytest.approx(
        2 * small, rel=0.01
    )


def test_allowed_downtime_is_what_the_plan_promises(tmp_path: Path) -> None:
    changed = edited("database", lambda spec: spec["constraints"].update(max_downtime_minutes=7))
    assert plan(tmp_path, changed)["downtime"]["allowed_minutes"] == 7


def test_table_name_runs_through_tasks_and_checks(tmp_path: Path) -> None:
    spec = json.loads(text(sample("database")).replace("audit_log", "event_log"))
    phases = text(plan(tmp_path, spec)["phases"])
    assert "event_log" in phases and "audit_log" not in phases


def test_flag_step_that_is_gone_is_not_planned(tmp_path: Path) -> None:
    name = sample("database")["feature_flags"][0]["name"]
    assert name in text(plan(tmp_path, sample("database"))["phases"])
    gone = plan(tmp_path, edited("database", lambda spec: spec.pop("feature_flags")))
    assert name not in text(gone["phases"])


def test_trigger_threshold_is_the_one_of_the_specification(tmp_path: Path) -> None:
    changed = edited("database", lambda spec: spec["rollback_triggers"][0].update(threshold=0.037))
    assert "error_rate > 0.037" in text(plan(tmp_path, changed)["phases"])


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    broken = edited(
        "database",
        lambda spec: (spec.pop("source"), spec.update(type="databse"), spec["constraints"].update(data_volume_gb=-5)),
    )
    (tmp_path / "spec.json").write_text(json.dumps(broken), encoding="utf-8")
    done = execute(["python3", SCRIPTS / "migration_planner.py", "-i", tmp_path / "spec.json", "--validate"])
    assert done.code == 1
    assert "source" in done.err and "databse" in done.err and "data_volume_gb" in done.err


def test_scripts_of_a_report_stand_in_the_phases_whole_and_in_order(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    sides = [ASSETS / f"database_schema_{side}.json" for side in ("before", "after")]
    command = ["python3", SCRIPTS / "compatibility_checker.py", "--before", sides[0], "--after", sides[1]]
    assert execute([*command, "-q", "-f", "json", "-o", report]).code == 2
    carried = plan(tmp_path, sample("database"), "--compatibility", str(report))["phases"]
    expected = json.loads(report.read_text(encoding="utf-8"))["migration_scripts"]
    assert [script["id"] for phase in carried for script in phase["scripts"]] == [script["id"] for script in expected]
    assert [script["rollback_script"] for phase in carried for script in phase["scripts"]] == [
        s["rollback_script"] for s in expected
    ]
