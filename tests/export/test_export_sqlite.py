"""The SQLite export on one object of every kind: nothing is lost, and it says what the checker reads from the file."""

import json
from pathlib import Path

import pytest

import compatibility_checker as checker
from json_schema import problems, read_schema
from running import ASSETS

EXPORT = (ASSETS / "export_schema_sqlite.sql").read_text(encoding="utf-8")
EVERYTHING = (Path(__file__).parent / "sqlite_everything.sql").read_text(encoding="utf-8")


@pytest.fixture
def full(sqlite):
    done = sqlite.apply(EVERYTHING)
    assert done.code == 0, done.err
    return sqlite


def test_the_document_is_valid_and_leaves_the_archive_out(full):
    document = json.loads(full.query(EXPORT))
    assert [str(problem) for problem in problems(document, read_schema("database_schema"))] == []
    assert sorted(document["tables"]) == ["child", "firm", "parent", "wide"], (
        "no archive, no shadow table of the full text index"
    )


def test_what_the_pragmas_do_not_show_is_there(full):
    document = json.loads(full.query(EXPORT))
    parent, child = document["tables"]["parent"], document["tables"]["child"]
    name, key = parent["columns"]["name"], parent["constraints"]["primary_key"]
    assert (name["collation"], name["on_conflict"]) == ("NOCASE", {"not_null": "ignore"})
    assert name["default"] == {"expression": "'it''s, (ok'"}
    assert parent["columns"]["price"]["default"] == {"expression": "(1 + 2)"}, "the pragma drops the parentheses"
    assert (key["name"], key["on_conflict"], parent["autoincrement"]) == ('the "key"', "replace", True)
    assert [check["expression"] for check in parent["constraints"]["check"]] == [
        "price >= 0 AND name <> ')'",
        'length("check") > 2 OR ("check" IS NULL)',
    ]
    kinds = [parent["columns"][column]["generated_kind"] for column in ("doubled", "tripled")]
    assert kinds == ["virtual", "stored"]
    keys = child["constraints"]["foreign_key"]
    assert keys[0]["deferrable"] == "initially_deferred" and keys[0]["on_delete"] == "CASCADE"
    assert keys[0]["references"] == {"table": "parent", "columns": ["id"]}, "no column means the primary key"
    assert (keys[2]["name"], keys[2]["on_update"]) == ("both", "SET NULL")
    part = next(index for index in child["indexes"] if index["name"] == "child_part")
    assert (part["unique"], part["where"]) == (True, "a > 0 AND b <> 'x;y'") and "lower(b) DESC" in part["columns"]
    assert document["tables"]["wide"]["without_rowid"] and document["tables"]["firm"]["strict"]
    assert "INSTEAD OF" in json.dumps(document["views"]["names"]["triggers"])
    assert document["virtual_tables"]["words"]["definition"] == "CREATE VIRTUAL TABLE words USING fts5(body)"


def spelled_out(constraints):
    """Return constraints without the text that only the file's reader adds to their members."""
    return {
        kind: [{**entry, "definition": None} for entry in (found if isinstance(found, list) else [found])]
        for kind, found in constraints.items()
    }


def test_reading_the_file_says_the_same(full):
    sides = json.loads(full.query(EXPORT)), checker.load_sqlite(full.client[-1]).value
    for side in sides:
        side["database"] = "any"
        for table in side["tables"].values():
            table["row_count"], table["constraints"] = None, spelled_out(table["constraints"])
    assert sides[0] == sides[1]


def test_the_scripts_make_the_same_schema_from_the_document(full, new_sqlite, tmp_path):
    document = json.loads(full.query(EXPORT))
    empty = {"schema_version": "1.0", "dialect": "sqlite", "tables": {}}
    for name, side in (("empty", empty), ("full", document)):
        (tmp_path / f"{name}.json").write_text(json.dumps(side), encoding="utf-8")
    report = tmp_path / "report.json"
    checker.main(
        [
            "--before",
            str(tmp_path / "empty.json"),
            "--after",
            str(tmp_path / "full.json"),
            "-q",
            "-f",
            "json",
            "-o",
            str(report),
        ]
    )
    copy = new_sqlite()
    for script in json.loads(report.read_text(encoding="utf-8"))["migration_scripts"]:
        done = copy.apply(script["script_content"])
        assert done.code == 0, f"{script['id']}: {done.err}"
    assert {**json.loads(copy.query(EXPORT)), "database": "any"} == {**document, "database": "any"}
