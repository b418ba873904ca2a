"""Running the checker's scripts on a live MariaDB: one client for each script, which stops at its first error."""

import json
import re
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from running import ASSETS, SCRIPTS, Done, execute

EXPORT = (ASSETS / "export_schema_mysql.sql").read_text(encoding="utf-8")
CHECKER = SCRIPTS / "compatibility_checker.py"
KINDS = {"BASE TABLE": "TABLE", "VIEW": "VIEW", "SEQUENCE": "SEQUENCE"}
NAMED = "SELECT HEX({name}), {kind} FROM information_schema.{source} WHERE {schema} = DATABASE() ORDER BY 1, 2;"


def export(database: Any) -> Dict[str, Any]:
    """Return the live schema as a document that does not name its database."""
    return {**json.loads(database.query(EXPORT)), "database": "any"}


def check(folder: Path, before: Dict[str, Any], after: Dict[str, Any]) -> Dict[str, Any]:
    """Return the report of two documents."""
    for name, document in (("before", before), ("after", after)):
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    command = [sys.executable, CHECKER, "--before", folder / "before.json", "--after", folder / "after.json"]
    done = execute([*command, "-q", "-f", "json"])
    assert done.code in (0, 1, 2), done.err
    return done.json


def names(database: Any, **place: str) -> List[List[str]]:
    """Return (name, kind) of the objects of a view of information_schema."""
    lines = database.query(NAMED.format(**place)).splitlines()
    return [[bytes.fromhex(code).decode("utf-8"), kind] for code, kind in (line.split("\t") for line in lines)]


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def created(database: Any) -> Dict[str, str]:
    """Return what the server prints to make each object: lines of a table sorted, its counter left out."""
    objects = [
        *names(database, name="table_name", kind="table_type", source="tables", schema="table_schema"),
        *names(database, name="routine_name", kind="routine_type", source="routines", schema="routine_schema"),
        *names(database, name="trigger_name", kind="'TRIGGER'", source="triggers", schema="trigger_schema"),
        *names(database, name="event_name", kind="'EVENT'", source="events", schema="event_schema"),
    ]
    found = {}
    for name, kind in objects:
        text = database.query(f"SHOW CREATE {KINDS.get(kind, kind)} {quoted(name)};")
        text = re.sub(r" AUTO_INCREMENT=\d+| DEFINER=\S+|\t\d{4}-\d\d-\d\d \d\d:.*$", "", text)
        text = text.replace(f"`{database.name}`.", "")
        lines = (
            sorted(line.rstrip(",") for line in text.split("\n")) if kind == "BASE TABLE" else [text.replace("`", "")]
        )
        found[f"{kind} {name}"] = "\n".join(lines)  # programs are kept as they were written, quoted or not
    return found


def rows(database: Any) -> Dict[str, List[str]]:
    """Return every row of every table that is not an archive, as bytes, whatever the order of columns and rows."""
    found = {}
    for name, _ in names(
        database, name="table_name", kind="'t'", source="tables", schema="table_type = 'BASE TABLE' AND table_schema"
    ):
        columns = names(
            database,
            name="column_name",
            kind="'c'",
            source="columns",
            schema=f"table_name = CONVERT(UNHEX('{name.encode('utf-8').hex()}') USING utf8mb4) AND table_schema",
        )
        texts = ", ',', ".join(f"COALESCE(HEX({quoted(column)}), '-')" for column, _ in columns)
        if not name.startswith("_migration_archive"):
            found[name] = sorted(database.query(f"SELECT CONCAT({texts}) FROM {quoted(name)};").splitlines())
    return found


def everything(database: Any) -> Dict[str, Any]:
    return {**created(database), **rows(database)}


def different(one: Dict[str, Any], other: Dict[str, Any]) -> Dict[str, Any]:
    """Return what is not the same on both sides, under its name."""
    keys = sorted(one.keys() | other.keys())
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


class Migration(NamedTuple):
    """A live database, the wanted one beside it, and the report on the way from one to the other."""

    live: Any
    wanted: Any
    report: Dict[str, Any]
    folder: Path

    @property
    def scripts(self) -> List[Dict[str, Any]]:
        return self.report["migration_scripts"]

    @property
    def rules(self) -> List[str]:
        return sorted({issue["type"] for issue in self.report["issues"]})

    def check_again(self) -> Dict[str, Any]:
        return check(self.folder, export(self.live), export(self.wanted))

    def forward(self, script: Dict[str, Any]) -> Done:
        assert script["script_type"] == "sql", script["description"]
        return self.live.apply(script["script_content"])

    def back(self, script: Dict[str, Any]) -> None:
        if script["rollback_script"].strip():
            done = self.live.apply(script["rollback_script"])
            assert done.code == 0, f"{script['id']}: {done.err}\n{script['rollback_script']}"

    def apply(self) -> None:
        for script in self.scripts:
            done = self.forward(script)
            assert done.code == 0, f"{script['id']}: {done.err}\n{script['script_content']}"
            if script["validation_query"]:
                assert self.live.query(script["validation_query"]) == "1", script["id"]

    def undo(self, count: Optional[int] = None) -> None:
        """Run the undo of the first scripts, the last of them first."""
        for script in reversed(self.scripts[:count]):
            self.back(script)


class Bench(NamedTuple):
    """Makes databases and migrations in one folder."""

    folder: Path
    new: Callable[[], Any]

    def database(self, sql: str) -> Any:
        database = self.new()
        done = database.apply("SET NAMES utf8mb4;" + sql)  # views and triggers keep the client's character set
        assert done.code == 0, done.err
        return database

    def migration(self, live: str, wanted: str, hints: Optional[Dict[str, Dict[str, Any]]] = None) -> Migration:
        """Return the way from one schema to another; hints are members of columns ("table.column") or of tables."""
        databases = self.database(live), self.database(wanted)
        before, after = (export(database) for database in databases)
        for place, members in (hints or {}).items():
            table, _, column = place.partition(".")
            body = after["tables"][table]
            (body["columns"][column] if column else body).update(members)
        return Migration(*databases, check(self.folder, before, after), self.folder)
