"""Exported folders and the programs in them, run on live databases of the three dialects."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence

from running import ASSETS, SCRIPTS, Done, execute

SAMPLES = [json.loads((ASSETS / f"database_schema_{side}.json").read_text("utf-8")) for side in ("before", "after")]
DIALECTS = ("postgresql", "mysql", "sqlite")
EXPORTS = {name: (ASSETS / f"export_schema_{name}.sql").read_text("utf-8") for name in DIALECTS}
TYPES = {
    "mysql": {"timestamptz": "datetime", "timestamp": "datetime", "jsonb": "json", "uuid": "char(36)"},
    "sqlite": {"timestamptz": "datetime", "timestamp": "datetime", "jsonb": "text", "uuid": "char(36)"},
}
CLIENTS = {"postgresql": "PSQL", "mysql": "MARIADB", "sqlite": "SQLITE3"}


class Live(NamedTuple):
    """A live database, and how its dialect's programs are called on it."""

    dialect: str
    database: Any  # of the fixtures in tests/conftest.py

    def arguments(self) -> List[str]:
        user = self.database.client[self.database.client.index("-U") + 1] if self.dialect == "postgresql" else ""
        return [self.database.name, *(["--", "-U", user] if user else [])]

    def environment(self) -> Dict[str, str]:
        return {CLIENTS[self.dialect]: str(self.database.client[0])}

    def document(self) -> Dict[str, Any]:
        """Return the live schema, without its name and the statistics, which move by themselves."""
        document = json.loads(self.database.query(EXPORTS[self.dialect]))
        for table in document["tables"].values():
            table.pop("row_count", None)
            table.pop("size_mb", None)
            if self.dialect == "sqlite":
                table.pop("sql", None)  # a rename and its undo change the blanks and quotes of the text
        return {**document, "database": "any"}

    def rows(self, tables: Sequence[str]) -> Dict[str, List[str]]:
        """Return the rows of tables as sorted text; the columns by name, since an undo may put one at the end."""
        columns = {name: sorted(table["columns"]) for name, table in self.document()["tables"].items()}
        quote = "`" if self.dialect == "mysql" else '"'
        found = {}
        for table in tables:
            names = ", ".join(f"{quote}{name}{quote}" for name in columns[table])
            found[table] = sorted(self.database.query(f"SELECT {names} FROM {quote}{table}{quote};").split("\n"))
        return found

    def run(self, folder: Path, program: str, *options: str, **more: Any) -> Done:
        command = [folder / program, *options, *self.arguments()]
        return execute(command, env={**self.environment(), **more.pop("env", {})}, **more)

    def must(self, folder: Path, program: str, *options: str) -> str:
        done = self.run(folder, program, *options)
        assert done.code == 0, done.out + done.err
        return done.out

    def kill_after(self, folder: Path, program: str, lines: int, *options: str) -> int:
        """Start a program, kill -9 it and its client after that many lines of output; return the lines seen."""
        command = [str(folder / program), *options, *self.arguments()]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                   env={**os.environ, **self.environment()}, start_new_session=True)
        seen = 0
        while seen < lines and process.stdout.readline():
            seen += 1
        time.sleep(0.02 * (lines % 4))  # between scripts, and inside of one
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return seen


def sample(dialect: str, side: int) -> Dict[str, Any]:
    """Return a side of the PostgreSQL sample, or the nearest to it that another dialect can say."""
    document = json.loads(json.dumps(SAMPLES[side]))
    if dialect == "postgresql":
        return document
    for table in document["tables"].values():
        for column in table["columns"].values():
            values = document["enums"].get(column["type"])
            text = "text" if dialect == "sqlite" else f"enum({', '.join(map(repr, values or ()))})"
            column["type"] = text if values else TYPES[dialect].get(column["type"], column["type"])
            if column.pop("identity", None):
                column.update({"type": "integer"} if dialect == "sqlite" else {"auto_increment": True})
            if column.get("default") in ("gen_random_uuid()", "now()") or isinstance(column.get("default"), dict):
                column["default"] = "CURRENT_TIMESTAMP" if column["default"] == "now()" else None
                column.pop("default") if column["default"] is None else None
            column.pop("using", None)
        plain = [index for index in table.get("indexes", []) if not {"definition", "method"} & set(index)]
        table["indexes"] = [{key: value for key, value in index.items() if key != "where"} for index in plain]
    view = {"definition": f"SELECT id, username{', email' * side} FROM users"}
    return {"dialect": dialect, "tables": document["tables"], "views": {"user_directory": view}}


def export(folder: Path, before: Dict[str, Any], after: Dict[str, Any], dialect: str) -> Dict[str, Any]:
    """Write the export of two documents into a folder and return the report."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in (("before", before), ("after", after)):
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    done = execute([sys.executable, SCRIPTS / "compatibility_checker.py", "--before", folder / "before.json",
                    "--after", folder / "after.json", "--dialect", dialect, "-q", "-f", "json", "--export", folder])
    assert done.code in (0, 1, 2), done.err
    return done.json


def acknowledgements(report: Dict[str, Any]) -> List[str]:
    return [word for script in report["migration_scripts"] if script["script_type"] == "manual"
            for word in ("--acknowledge", script["id"])]


def build(live: Live, folder: Path, schema: Dict[str, Any], rows: str) -> None:
    """Make a schema and its rows in an empty database, with an export of its own, and forget how it was made."""
    report = export(folder, {"tables": {}}, schema, live.dialect)
    live.must(folder, "apply.sh", *acknowledgements(report))
    live.database.query({"postgresql": "DROP TABLE migration_archive.__journal; DROP SCHEMA migration_archive;"}.get(
        live.dialect, "DROP TABLE _migration_archive___journal;"))
    live.database.query(rows)
