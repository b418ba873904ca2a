"""Specifications that say little or name another engine: what is missing is said, nothing is refused for it."""

import json
import re
from typing import Any, Dict, List

import pytest

import migration_planner as planner
from planning import make, text_of

PATTERNS = [(kind, name) for name, pattern in planner.PATTERNS.items() for kind in pattern.kinds]
FOREIGN = {  # words that belong to one engine and to no other
    "postgresql": r"\bpg_\w+|pg_dump|::bigint|CONCURRENTLY|migration_archive\.",
    "mysql": r"performance_schema|SHOW GRANTS|mysqlsh|REPLICA STATUS|<=>",
    "sqlite": r"sqlite_master|PRAGMA|pragma_table_info",
    "oracle": r"v\$session|dba_\w+|rman target",
    "sqlserver": r"sys\.\w+|DBCC",
    "mongodb": r"\bdb\.\w+|mongodump",
}
CHANGES = [{"table": "notes", "changes": [
    {"type": "add_column", "column": "lang", "data_type": "varchar(2)", "nullable": False, "backfill": "'en'"},
    {"type": "modify_column", "column": "body", "old_type": "varchar(20)", "new_type": "integer"},
    {"type": "drop_column", "column": "fax"}, {"type": "add_index", "columns": ["lang"]},
    {"type": "add_foreign_key", "column": "owner", "references": "users(id)"}]}]


def least(kind: str, pattern: str) -> Dict[str, Any]:
    return {"type": kind, "pattern": pattern, "source": "Old thing", "target": "New thing"}


@pytest.mark.parametrize("kind, pattern", PATTERNS, ids=lambda word: word)
def test_least_specification_is_planned_and_says_what_it_assumed(kind: str, pattern: str) -> None:
    found = make(least(kind, pattern))
    assert not found.refused and not [row for row in found.findings if row["severity"] == "error"], found.findings
    phases = [row.name for row in planner.PATTERNS[pattern].phases if row.each != "wave"]
    assert set(phases) <= {phase["name"] for phase in found.document["phases"]}
    assumed = [row["what"] for row in found.document["assumptions"]]
    assert "constraints.max_downtime_minutes" in assumed
    text = text_of(found)
    text = re.sub(r"(== 0|gate: .*|= 0 GB: not given|P50 0)[^\n]*", "", text)
    assert not re.search(r"(?<![\d.,])0 (GB|rows|servers|aggregates|endpoints|changes|batches)\b", text), text
    assert "none named" not in text


def test_outage_is_judged_only_against_a_limit_that_is_given() -> None:
    spec = least("database", "data_migration")
    assert not make(spec).found("V071")
    spec["constraints"] = {"max_downtime_minutes": 0}
    assert {row["severity"] for row in make(spec).found("V071")} == {"error"}


@pytest.mark.parametrize("text, engine", [
    ("PostgreSQL 15", "postgresql"), ("MySQL 8.4", "mysql"), ("MariaDB 10.11", "mysql"), ("SQLite 3.45", "sqlite"),
    ("Oracle 19c", "oracle"), ("SQL Server 2022", "sqlserver"), ("MongoDB 7.0", "mongodb")])
@pytest.mark.parametrize("pattern", ["expand_contract", "cdc", "data_migration"])
def test_plan_speaks_the_commands_of_its_engine_only(text: str, engine: str, pattern: str) -> None:
    spec = {"type": "database", "pattern": pattern, "source": f"{text} on-premises", "target": f"{text} on AWS",
            "schema_changes": CHANGES, "tables_to_migrate": [{"name": "notes", "row_count": 9000, "size_mb": 4}]}
    if pattern == "expand_contract":
        spec["source"] = spec["target"] = text
    document = json.dumps({key: make(spec).document[key] for key in ("phases", "go_no_go", "confidence")})
    strangers = {name: re.findall(words, document) for name, words in FOREIGN.items() if name != engine}
    assert {name: found for name, found in strangers.items() if found} == {}
    assert re.search(FOREIGN[engine], document)


def test_each_side_is_asked_in_its_own_words() -> None:
    spec = {"type": "database", "pattern": "cdc", "source": "Oracle 19c on-premises", "target": "PostgreSQL 16 on AWS",
            "constraints": {"data_volume_gb": 50, "max_downtime_minutes": 60}}
    gates = {gate["id"]: gate["how"] for phase in make(spec).document["phases"] for gate in phase["gates"]}
    assert "v$session" in gates["G01"] and "pg_constraint" in gates["G07"] and "--type data" in gates["G14"]
    assert "pg_sequences" in gates["G17"] and "dms" in gates["G12"]


@pytest.mark.parametrize("minutes", [0, 1, 8])
def test_short_outage_with_replication_needs_a_pooler(minutes: int) -> None:
    spec: Dict[str, Any] = {"type": "database", "pattern": "cdc", "source": "PostgreSQL 13 on-premises",
                            "target": "PostgreSQL 16 on AWS",
                            "constraints": {"data_volume_gb": 50, "max_downtime_minutes": minutes}}
    document = make(spec).document
    cutover = next(phase for phase in document["phases"] if phase["name"] == "cutover")
    assert document["downtime"]["probability_within"] > 0.8 and "PAUSE" in cutover["task_details"][-1]["action"]
    spec["cutover"] = {"switch": "dns"}
    (finding,) = make(spec).found("V071")
    assert finding["severity"] == "error" and "pooler" in finding["hint"]


@pytest.mark.parametrize("path, value, written", [
    ("max_downtime_minutes", "2 h", "120"), ("data_volume_gb", "2.5 TB", "2500"),
    ("dependencies", "a, b", '["a", "b"]')])
def test_value_in_the_wrong_form_is_shown_in_the_right_one(path: str, value: str, written: str) -> None:
    spec = {**least("database", "cdc"), "constraints": {path: value}}
    assert any(f"write {written}" in line for line in make(spec).refused)


def reported(kind: str, dialect: str, issues: List[Dict[str, Any]], scripts: List[Dict[str, Any]]) -> Any:
    body = {"schema_type": kind, "dialect": dialect, "issues": issues, "migration_scripts": scripts}
    return planner.Document("report.json", json.dumps(body), body, "")


@pytest.mark.parametrize("spec, report, code", [
    ({"constraints": {"special_requirements": ["api_backward_compatibility"]}},
     reported("api", "", [{"severity": "breaking", "field_path": "paths./users"}], []), "V085"),
    ({"target": "MySQL 8.4"}, reported("database", "postgresql", [], []), "V086"),
    ({"schema_changes": CHANGES}, reported("database", "postgresql", [{"field_path": "tables.users"}], []), "V087"),
    ({"constraints": {"max_downtime_minutes": 0}},
     reported("database", "postgresql", [], [{"id": "001", "rewrites_table": True}]), "V088")],
    ids=["breaking", "dialect", "unknown table", "rewrite"])
def test_report_that_contradicts_the_specification_is_reported(spec: Dict[str, Any], report: Any, code: str) -> None:
    whole = {**least("database", "expand_contract"), **spec}
    facts = make(whole).plan.work.facts
    assert [row.code for row in planner.find_in_reports(facts, [report])] == [code]
    plain = make(least("database", "expand_contract")).plan.work.facts
    assert list(planner.find_in_reports(plain, [report])) == []
