"""Contradictions of a specification are reported with their numbers, each under its code and at its place."""

import copy
import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from planning import Planned, example, make
from running import ASSETS, SCRIPTS, Done, execute

Spec = Dict[str, Any]


@pytest.fixture(autouse=True)
def day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")  # 2026-01-01: which versions are past their end of life


def changed(spec: Spec, edit: Callable[[Spec], Any]) -> Spec:
    spec = copy.deepcopy(spec)
    edit(spec)
    return spec


def lines(planned: Planned) -> List[str]:
    return planned.refused or [
        f"{row['severity']} {row['code']} {row['path']}: {row['found']} | {row['expected']} | {row['hint']}"
        for row in planned.findings
    ]


def says(planned: Planned, *words: str) -> None:
    """Assert that one line of the findings holds all the words."""
    assert [line for line in lines(planned) if all(word in line for word in words)], lines(planned)


# The eleven faults of the samples that were once shipped


def test_fault_1_declared_volume_against_the_sum_of_the_tables() -> None:
    says(make(example("B")), "V022", "constraints.data_volume_gb", "2 500 GB", "5.34 GB", "0.2 %")


def test_fault_2_schema_change_between_two_servers() -> None:
    planned = make(example("B"))
    says(planned, "V083", "moves no data between servers", "cdc + expand_contract")
    assert planned.document["pattern_selection"]["tracks"] == ["cdc", "expand_contract"]
    assert "is added before it" in planned.document["pattern_selection"]["composite"]


def test_fault_3_copy_time_without_a_bandwidth_rests_on_an_assumption() -> None:
    planned = make(changed(example("B"), lambda spec: spec.pop("network")))
    says(planned, "V075", "no network.bandwidth_gbps", "1 Gbit/s assumed", "12.6 h", "79.4 h")
    assert [row for row in planned.document["assumptions"] if row["what"] == "network.bandwidth_gbps"]
    assert not make(example("B")).found("V075")


def test_fault_4_version_past_its_end_of_life() -> None:
    says(make(example("B")), "V084", "source", "postgresql 13", "2025-11-13")


def test_fault_5_phase_hours_against_the_flags_schedules() -> None:
    says(make(example("C")), "V052", "migration_phases[1]", "48 h", "at least 96 h", "72 + 24 h")


def test_fault_6_alert_below_what_is_measured_today() -> None:
    says(make(example("C")), "V060", "response_time_p95", "250", "300 today", "fires before anything has moved")


def test_fault_7_rollback_at_ten_percent_errors_burns_the_budget() -> None:
    says(make(example("C")), "V060", "rollback_triggers[0].threshold", "10 % errors", "1.44 %", "50 times")


def test_fault_8_new_service_is_too_small() -> None:
    planned = make(example("C"))
    says(planned, "V076", "initial_replicas", "3 cores", "125 rps a core", "from 19 % of the traffic")
    says(planned, "V076", "max_replicas", "10 cores", "at least 200 rps", "125")
    actions = [item["action"] for phase in planned.document["phases"] for item in phase["task_details"]]
    assert any("--replicas=6" in action for action in actions)  # 25 % of 2 000 rps at 125 rps a core, 30 % spare


def test_fault_9_endpoints_that_moved_need_a_rewrite_rule() -> None:
    planned = make(example("C"))
    for name in ("login", "logout"):
        says(planned, "V080", f"POST /api/v1/users/{name} -> POST /api/v2/auth/{name}", "rewrite rule", "mobile_app_v1")
    rules = next(item for phase in planned.document["phases"] for item in phase["task_details"]
                 if "rewrite" in item["title"])
    assert "POST /api/v1/users/login -> /api/v2/auth/login" in rules["action"]


def test_fault_10_writing_endpoints_and_data_but_no_way_for_the_data() -> None:
    says(make(example("C")), "V083", "50 GB", "6 writing endpoints", "0 min of outage", "dual_write")


def test_fault_11_initial_percentages_are_right_and_not_reported() -> None:
    assert not [row for row in make(example("C")).found("V050") if "initial_percentage" in row["path"]]
    wrong = changed(example("C"), lambda spec: spec["feature_flags"][0].update(initial_percentage=8))
    says(make(wrong), "V050", "feature_flags[0].initial_percentage", "8 %", "5 %")


# Specifications that no plan can meet


def data_centre(**constraints: Any) -> Spec:
    return changed(example("D"), lambda spec: spec["constraints"].update(constraints))


def test_no_outage_and_ten_terabytes_of_servers() -> None:
    def grow(spec: Spec) -> None:
        spec["constraints"].update(max_downtime_minutes=0, data_volume_gb=10000)
        for load in spec["workloads"]:
            load["size_gb"] *= 1.25

    says(make(changed(example("D"), grow)), "error V070", "10 000 GB / 315 GB/h = 31.7 h > 0 min")


def test_negative_volume() -> None:
    says(make(data_centre(data_volume_gb=-5)), "data_volume_gb", "found -5", "V010")


def test_hour_that_does_not_exist() -> None:
    wrong = changed(
        example("A"), lambda spec: spec["business_continuity"]["preferred_migration_window"].update(start="25:00")
    )
    says(make(wrong), "preferred_migration_window.start", '"25:00"', "HH:MM", "V030")


def test_zone_that_does_not_exist() -> None:
    wrong = changed(example("A"), lambda spec: spec["team"].update(timezone="Europe/Berlinn"))
    says(make(wrong), "team.timezone", "V030", "Europe/Berlin'")


def test_circle_of_workloads() -> None:
    loads = [{"name": name, "vms": 1, "size_gb": 10, "depends_on": [after]} for name, after in ("ab", "bc", "ca")]
    says(make(changed(example("D"), lambda spec: spec.update(workloads=loads))), "error V040", "a -> b -> c -> a")


def test_steps_that_go_down() -> None:
    steps = [{"percentage": share, "duration_hours": 4} for share in (5, 25, 20, 100)]
    wrong = changed(example("C"), lambda spec: spec["feature_flags"][0].update(rollout_schedule=steps))
    says(make(wrong), "error V050", "5, 25, 20, 100 %")


def test_alert_above_the_rollback() -> None:
    def swap(spec: Spec) -> None:
        spec["monitoring"]["alert_thresholds"]["error_rate"] = 0.10
        spec["rollback_triggers"][0]["threshold"] = 0.05

    says(make(changed(example("C"), swap)), "V060", "0.05 with an alert at 0.1", "before its warning")


def test_one_table_in_two_spellings() -> None:
    both = [{"name": name, "row_count": 5000000, "size_mb": 2400} for name in ("users", "USERS")]
    says(make(changed(example("A"), lambda spec: spec.update(tables_to_migrate=both))), "error V020", "USERS")


def test_more_writes_than_can_be_replayed() -> None:
    wrong = changed(
        example("A"), lambda spec: spec.update(method="gh_ost", workload={"write_rows_per_second": 2000})
    )
    says(make(wrong), "error V072", "2 000 rows/s", "never catches up")


def test_misspelled_type() -> None:
    says(make(changed(example("A"), lambda spec: spec.update(type="databse"))), "databse", "did you mean 'database'?")


def validate(folder: Path, text: str) -> Done:
    (folder / "spec.json").write_text(text, encoding="utf-8")
    return execute(["python3", SCRIPTS / "migration_planner.py", "-i", folder / "spec.json", "--validate"])


def test_number_that_is_none(tmp_path: Path) -> None:
    done = validate(tmp_path, json.dumps(example("A")).replace("4.8", "NaN"))
    assert done.code == 3 and "constraints.data_volume_gb: found NaN" in done.err


def test_key_that_stands_twice(tmp_path: Path) -> None:
    done = validate(tmp_path, '{"type": "database", "type": "service", "source": "a", "target": "b"}')
    assert done.code == 3 and "type: found the key a second time" in done.err


def test_specification_that_is_no_json_fails_the_validation_in_words(tmp_path: Path) -> None:
    done = validate(tmp_path, '{"type": ')
    assert done.code == 3 and "spec.json:1:10: $: found the end of the file" in done.err
    assert "Migration plan validation failed: the specification cannot be read" in done.err


def test_nine_consumers_that_nobody_owns() -> None:
    planned = make(changed(example("A"), lambda spec: spec["constraints"].update(dependencies=list("abcdefghi"))))
    risk = next(row for row in planned.document["risks"] if row["id"] == "R14")
    assert "9 of 9 consumers without owner" in risk["because"]["text"] and risk["score"] >= 16


def test_every_sample_is_valid(tmp_path: Path) -> None:
    for path in [*ASSETS.glob("sample_*_migration.json"), *(ASSETS / "examples").glob("*.json")]:
        assert validate(tmp_path, path.read_text(encoding="utf-8")).code == 0, path.name


@pytest.mark.parametrize("edit, words", [
    pytest.param(lambda spec: spec.setdefault("business_continuity", {}).update(blackout_dates=[{"end": "2026-01-02"}]),
                 ("blackout_dates[0]", "start"), id="blackout date without its start"),
    pytest.param(lambda spec: spec.update(migration_phases=[{"estimated_duration_hours": 3}]),
                 ("migration_phases[0]", "phase"), id="phase without its name"),
    pytest.param(lambda spec: spec["constraints"].update(special_requirements=[None]),
                 ("special_requirements[0]", "null"), id="requirement that is null"),
])
def test_incomplete_row_is_told_and_asked_for_nothing_more(edit: Callable[[Spec], Any], words: Any) -> None:
    says(make(changed(example("C"), edit)), "V00", *words)
