"""Running the checker's scripts on a live database: one client for each script, which stops at its first error."""

import json
import sys
from pathlib import Path
from typing import Any, Dict, List

from running import ASSETS, SCRIPTS, execute

EXPORT = ASSETS / "export_schema_postgresql.sql"
CHECKER = SCRIPTS / "compatibility_checker.py"


def export(database: Any) -> Dict[str, Any]:
    """Return the live schema as a document, without its name and the statistics, which move by themselves."""
    document = json.loads(database.query(EXPORT.read_text(encoding="utf-8")))
    for table in document["tables"].values():
        table.pop("row_count", None)
        table.pop("size_mb", None)
    return {**document, "database": "any"}


def check(folder: Path, before: Dict[str, Any], after: Dict[str, Any]) -> Dict[str, Any]:
    """Return the report of two documents."""
    for name, document in (("before", before), ("after", after)):
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    command = [sys.executable, CHECKER, "--before", folder / "before.json", "--after", folder / "after.json"]
    done = execute([*command, "-q", "-f", "json"])
    assert done.code in (0, 1, 2), done.err
    return done.json


def apply(database: Any, scripts: List[Dict[str, Any]], part: str) -> None:
    """Run each script in its own client; forward, its validation query must then say that it is done."""
    for script in scripts:
        assert script["script_type"] == "sql", script["description"]
        if script[part].strip():
            done = database.apply(script[part])
            assert done.code == 0, f"{script['id']}: {done.err}\n{script[part]}"
        if part == "script_content" and script["validation_query"]:
            assert database.query(script["validation_query"]) == "t", script["id"]


def rows(database: Any, tables: List[str]) -> Dict[str, str]:
    """Return every row of every table as text, whatever the order of columns and rows."""
    query = (
        "SELECT coalesce(string_agg(r, E'\\n' ORDER BY r), '') FROM (SELECT to_jsonb(t)::text AS r FROM {0} AS t) AS x;"
    )
    return {table: database.query(query.format(table)) for table in tables}
