"""The MariaDB export on one object of every kind: nothing is lost, and the scripts make the same schema from it."""

import json
import sys
from pathlib import Path

import pytest

from json_schema import problems, read_schema
from running import ASSETS, SCRIPTS, execute

pytestmark = pytest.mark.live
EXPORT = (ASSETS / "export_schema_mysql.sql").read_text(encoding="utf-8")
EVERYTHING = (Path(__file__).parent / "mysql_everything.sql").read_text(encoding="utf-8")
EMPTY = {"schema_version": "1.0", "dialect": "mysql", "tables": {}}


def export(database):
    document = json.loads(database.query(EXPORT))
    for table in document["tables"].values():  # statistics, which move by themselves
        table.pop("row_count", None)
        table.pop("size_mb", None)
    return {**document, "database": "any", "not_exported": []}


@pytest.fixture
def full(new_mariadb):
    database = new_mariadb()
    done = database.apply("SET NAMES utf8mb4;" + EVERYTHING)
    assert done.code == 0, done.err
    return database


def test_the_document_is_valid_and_names_what_it_leaves_out(full):
    document = json.loads(full.query(EXPORT))
    assert [str(problem) for problem in problems(document, read_schema("database_schema"))] == []
    assert document["not_exported"] == [{"kind": "system versioning of tables", "count": 1}]
    assert "_migration_archive_parent" not in document["tables"]


# What a careless export loses: place in the document, and what must stand there.
FACTS = {
    "tables.parent.columns.name.default.expression": r"'x''y\\z'",
    "tables.parent.columns.name.comment": 'it\'s "the" name',
    "tables.parent.columns.touched.on_update": "current_timestamp()",
    "tables.parent.columns.touched.invisible": True,
    "tables.parent.columns.exact.default.expression": "current_timestamp(3)",
    "tables.parent.columns.data.check": "json_valid(`data`)",
    "tables.parent.columns.doubled.generated_kind": "virtual",
    "tables.parent.columns.tripled.generated": "`size` * 2",
    "tables.parent.columns.token.default.expression": "concat('a',uuid())",
    "tables.parent.columns.kind.collation": "latin1_bin",
    "tables.parent.columns.positive.check": "`positive` > 0",
    "tables.parent.columns.word.default.expression": "'NULL'",
    "tables.parent.constraints.check.0.expression": "`size` > 1 or `name` <> ')'",
    "tables.parent.indexes.name_part.lengths.name": 10,
    "tables.parent.indexes.name_part.descending.0": "name",
    "tables.parent.indexes.unseen.invisible": True,
    "tables.parent.indexes.body_words.method": "fulltext",
    "tables.parent.indexes.long_unique.method": "hash",
    "tables.parent.triggers.parent_second.follows": "parent_first",
    "tables.parent.comment": "the parents",
    "tables.child.constraints.foreign_key.0.on_update": "SET NULL",
    "tables.child.collation": "latin1_swedish_ci",
    "tables.Child.comment": "another letter case",
    "tables.measured.partition_by": "RANGE (year(`at`)) SUBPARTITION BY HASH (`n`) SUBPARTITIONS 2",
    "views.names.options.check_option": "cascaded",
    "views.names.options.security": "invoker",
    "sequences.tickets.cycle": True,
    "events.once.definition": (
        "CREATE EVENT `once` ON SCHEDULE AT '2035-01-01 00:00:00' ON COMPLETION NOT PRESERVE ENABLE DO SET @x = 1"
    ),
}


def reached(document, place):
    for step in place.split("."):
        named = isinstance(document, list) and not step.isdigit()
        found = {item["name"]: item for item in document} if named else document
        document = found[int(step) if isinstance(found, list) else step]
    return document


def test_what_a_careless_export_loses_is_there(full):
    document = export(full)
    assert {place: reached(document, place) for place in FACTS} == FACTS


def test_the_scripts_make_the_same_schema_from_the_document(full, new_mariadb, tmp_path):
    document = export(full)
    document["tables"].pop("versioned")  # its versioning is what the export names as left out
    for name, side in (("empty", {**EMPTY, "server_version": document["server_version"]}), ("full", document)):
        (tmp_path / f"{name}.json").write_text(json.dumps(side), encoding="utf-8")
    command = [
        sys.executable,
        SCRIPTS / "compatibility_checker.py",
        "--before",
        "empty.json",
        "--after",
        "full.json",
        "-q",
        "-f",
        "json",
    ]
    copy = new_mariadb()
    for script in execute(command, cwd=tmp_path).json["migration_scripts"]:
        done = copy.apply(script["script_content"])
        assert done.code == 0, f"{script['id']}: {done.err}"
    assert export(copy) == document
