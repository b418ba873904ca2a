"""What the checker says of a change, from documents alone."""

import json
from pathlib import Path
from typing import Any, Dict, List

import compatibility_checker as checker
import pytest


def rules(before: Dict[str, Any], after: Dict[str, Any], tmp_path: Path) -> List[str]:
    documents = []
    for name, tables in (("before", before), ("after", after)):
        text = json.dumps({"tables": tables})
        documents.append(checker.Document(name, text, json.loads(text), ""))
    return sorted(finding.rule.id for finding in checker.compare_databases(*documents, checker.Options()).findings)


def users(**columns: Any) -> Dict[str, Any]:
    return {"users": {"columns": {"id": {"type": "int", "primary_key": True}, **columns}}}


CHANGES = [
    pytest.param(
        users(email="varchar(255)"), users(email="varchar(320)"), ["column_length_increased"], id="varchar widened"
    ),
    pytest.param(
        users(email="varchar(320)"), users(email="varchar(255)"), ["column_length_reduced"], id="varchar narrowed"
    ),
    pytest.param(users(n="int"), users(n="bigint"), ["column_type_widened"], id="int widened"),
    pytest.param(users(n="bigint"), users(n="int"), ["column_type_narrowed"], id="bigint narrowed"),
    pytest.param(users(n="int"), users(n="uuid"), ["column_type_incompatible"], id="no conversion"),
    pytest.param(users(), users(n="int"), ["column_added"], id="optional column"),
    pytest.param(users(), users(n={"type": "int", "nullable": False}), ["required_column_added"], id="required column"),
    pytest.param(users(n="int"), users(), ["column_removed"], id="column removed"),
    pytest.param(users(n="int"), users(n={"type": "int", "nullable": False}), ["column_made_required"], id="NOT NULL"),
    pytest.param(users(n={"type": "int", "nullable": False}), users(n="int"), ["column_made_nullable"], id="nullable"),
    pytest.param(
        users(a="text"), users(b={"type": "text", "renamed_from": "a"}), ["column_renamed"], id="stated rename"
    ),
    pytest.param(
        users(full_name="text"),
        users(fullname="text"),
        ["column_added", "column_removed", "column_rename_suspected"],
        id="suspected rename",
    ),
    pytest.param(users(), {}, ["table_removed"], id="table removed"),
    pytest.param({}, users(), ["table_added"], id="table added"),
    pytest.param(
        users(n={"type": "int", "default": 1}),
        users(n={"type": "int", "default": 2}),
        ["column_default_changed"],
        id="default",
    ),
    pytest.param(users(n="text"), users(n={"type": "text", "unique": True}), ["unique_added"], id="unique"),
]


@pytest.mark.parametrize("before, after, expected", CHANGES)
def test_change_is_judged(before: Dict[str, Any], after: Dict[str, Any], expected: List[str], tmp_path: Path) -> None:
    assert rules(before, after, tmp_path) == expected


EQUALS = [
    pytest.param(users(n="int"), users(n="int4"), id="alias"),
    pytest.param(users(p="varchar(20)"), users(p={"type": "varchar", "length": 20}), id="length apart"),
    pytest.param(
        users(n={"type": "text", "unique": True}),
        {"users": {**users(n="text")["users"], "constraints": {"unique": ["n"]}}},
        id="unique said elsewhere",
    ),
    pytest.param(
        users(n={"type": "timestamptz", "default": "now()"}),
        users(n={"type": "timestamptz", "default": "CURRENT_TIMESTAMP"}),
        id="now",
    ),
    pytest.param(users(n={"type": "int", "default": None}), users(n="int"), id="default NULL"),
    pytest.param(
        users(n={"type": "int", "references": "users(id)"}),
        {
            "users": {
                **users(n="int")["users"],
                "constraints": {"foreign_key": [{"columns": ["n"], "references": "users(id)"}]},
            }
        },
        id="reference",
    ),
]


@pytest.mark.parametrize("before, after", EQUALS)
def test_equal_meaning_reports_nothing(before: Dict[str, Any], after: Dict[str, Any], tmp_path: Path) -> None:
    assert rules(before, after, tmp_path) == []


def test_a_new_table_tells_the_linter_that_its_types_are_wanted(tmp_path: Path) -> None:
    documents = []
    for name, tables in (("before", {}), ("after", users(a="varchar(9)", b="timestamptz"))):
        text = json.dumps({"tables": tables})
        documents.append(checker.Document(name, text, json.loads(text), ""))
    create = checker.compare_databases(*documents, checker.Options()).steps[0].script_content
    assert "-- squawk-ignore-file prefer-bigint-over-int, prefer-text-field\n" in create
