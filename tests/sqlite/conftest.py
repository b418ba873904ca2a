"""Runs the checker on SQLite databases and its scripts through the sqlite3 client: no server, no network."""

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import pytest

import compatibility_checker as checker


class Database(NamedTuple):
    """One database file."""

    path: Path

    def run(self, sql: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["sqlite3", "-bail", str(self.path)], input=sql, capture_output=True, text=True, timeout=60
        )

    def must(self, sql: str) -> str:
        done = self.run(sql)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, query: str) -> List[Any]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def schema(self) -> List[Any]:
        """Return every object with its text, without what only a rename adds to it: quotes around the name."""
        found = self.rows(
            "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"
        )
        return [(kind, name, " ".join(sql.replace('"', "").replace("(", " ( ").split())) for kind, name, sql in found]

    def everything(self) -> Any:
        tables = [
            (name, "" if "WITHOUT ROWID" in sql else "rowid, ") for kind, name, sql in self.schema() if kind == "table"
        ]
        contents = {name: sorted(self.rows(f'SELECT {rowid}* FROM "{name}"'), key=repr) for name, rowid in tables}
        counters = []
        if self.rows("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
            counters = self.rows("SELECT * FROM sqlite_sequence ORDER BY name")
        return self.schema(), contents, counters

    def document(self) -> Dict[str, Any]:
        return checker.load_sqlite(str(self.path)).value


class Migration(NamedTuple):
    """A live database, the report on its way to the wanted schema, and the exit code of the checker."""

    live: Database
    report: Dict[str, Any]
    code: int

    @property
    def scripts(self) -> List[Dict[str, Any]]:
        return self.report["migration_scripts"]

    def apply(self) -> None:
        for script in self.scripts:
            assert self.live.must(script["validation_query"]) == "0\n", script["id"]
            self.live.must(script["script_content"])
            assert self.live.must(script["validation_query"]) == "1\n", script["id"]

    def undo(self) -> None:
        for script in reversed(self.scripts):
            self.live.must(script["rollback_script"])


@pytest.fixture
def bench(tmp_path):
    """Return a maker of databases and migrations in one folder."""
    if not shutil.which("sqlite3"):
        assert os.environ.get("REQUIRE_LIVE") != "1", "the sqlite3 client is missing"
        pytest.skip("needs the sqlite3 client")
    return Bench(tmp_path)


class Bench(NamedTuple):
    folder: Path

    def database(self, name: str, sql: str) -> Database:
        database = Database(self.folder / f"{name}.db")
        database.must(sql or "VACUUM;")
        return database

    def check(self, before: Path, after: Path) -> Any:
        output = self.folder / "report.json"
        args = ["--before", str(before), "--after", str(after), "-f", "json", "-q", "-o", str(output)]
        code = checker.main(args)
        return json.loads(output.read_text(encoding="utf-8")), code

    def migration(self, live: str, wanted: str, hints: Optional[Dict[str, Dict[str, str]]] = None) -> Migration:
        """Return the way from one schema to another; hints are members of columns ("table.column") or of tables."""
        database, goal = self.database("live", live), self.database("wanted", wanted).path
        if hints:
            document = checker.load_sqlite(str(goal)).value
            for place, members in hints.items():
                table, _, column = place.partition(".")
                body = document["tables"][table]
                (body["columns"][column] if column else body).update(members)
            goal = self.folder / "wanted.json"
            goal.write_text(json.dumps(document), encoding="utf-8")
        report, code = self.check(database.path, goal)
        return Migration(database, report, code)
