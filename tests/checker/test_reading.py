"""What a schema document may say of keys, types and indexes, and what is refused because it would be SQL of its own."""

import json
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

from running import SCRIPTS, execute


def table(**more: Any) -> Dict[str, Any]:
    return {"columns": {"id": {"type": "int"}, "(odd) %": {"type": "text"}}, **more}


def checked(folder: Path, after: Dict[str, Any], dialect: str = "postgresql") -> Any:
    for name, body in (("before", table()), ("after", after)):
        (folder / f"{name}.json").write_text(json.dumps({"dialect": dialect, "tables": {"t": body}}), encoding="utf-8")
    sides = ["--before", folder / "before.json", "--after", folder / "after.json", "-q", "-f", "json"]
    return execute([sys.executable, SCRIPTS / "compatibility_checker.py", *sides])


@pytest.mark.parametrize("constraints, place", [
    pytest.param({"unique": [{"name": {"a": 1}, "columns": ["id"]}]}, "unique[0].name", id="name that is no text"),
    pytest.param({"check": [{"expression": ["id > 1"]}]}, "check[0].expression", id="expression that is no text"),
    pytest.param({"foreign_key": [{"columns": ["id"], "references": "t(id)", "on_delete": "CASCADE; DROP TABLE t"}]},
                 "foreign_key[0].on_delete", id="action with a statement behind it"),
    pytest.param({"foreign_key": [{"columns": ["id"], "references": "t(id)", "on_update": 3}]},
                 "foreign_key[0].on_update", id="action that is no text"),
])
def test_constraint_that_is_none_is_refused_at_its_place(constraints: Any, place: str, tmp_path: Path) -> None:
    done = checked(tmp_path, table(constraints=constraints))
    assert done.code == 3 and f"tables.t.constraints.{place}: found" in done.err


@pytest.mark.parametrize("kind, code", [
    pytest.param("int; DROP TABLE t", 3, id="second statement"),
    pytest.param("enum('a;b','c')", 2, id="label with a semicolon"),
])
def test_type_with_a_second_statement_is_refused(kind: str, code: int, tmp_path: Path) -> None:
    after = table()
    after["columns"]["id"]["type"] = kind
    assert checked(tmp_path, after, "mysql").code == code


@pytest.mark.parametrize("dialect, quoted", [("postgresql", '"(odd) %"'), ("mysql", "`(odd) %`"), ("sqlite", '"(odd) %"')])
def test_name_of_a_column_in_an_index_is_no_expression(dialect: str, quoted: str, tmp_path: Path) -> None:
    done = checked(tmp_path, table(indexes=[{"name": "i", "columns": ["(odd) %"]}]), dialect)
    assert f"({quoted})" in done.json["migration_scripts"][0]["script_content"]
