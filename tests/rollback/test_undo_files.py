"""The exported rollback.sh on SQLite and MariaDB: from any script back, with the rows written meanwhile."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from running import ASSETS
from undo_live import Kit, changed, kit_of, shellcheck

pytestmark = pytest.mark.live
BEFORE = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL, fax VARCHAR(20), score INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, note VARCHAR(40));
CREATE INDEX orders_customer ON orders (customer_id);
"""
AFTER = """
CREATE TABLE customers (
  id INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL, score BIGINT, vip INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, note VARCHAR(40) NOT NULL);
CREATE TABLE addresses (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, line VARCHAR(60));
CREATE INDEX addresses_customer ON addresses (customer_id);
"""
SEED = """
INSERT INTO customers VALUES (1, 'Ann', '+1', 3), (2, 'Bob', NULL, NULL), (3, 'Zoe', '+3', 7);
INSERT INTO orders VALUES (1, 1, 'first'), (2, 3, 'second');
"""
MEANWHILE = "INSERT INTO orders VALUES (9, 2, 'late'); UPDATE customers SET name = 'Anna' WHERE id = 1;"


def spec(engine: str) -> Dict[str, Any]:
    side = {"engine": engine, "location": "aws"}
    return {
        "type": "database",
        "name": "shop",
        "source": {"name": "Shop 1", **side},
        "target": {"name": "Shop 2", **side},
        "constraints": {"max_downtime_minutes": 0, "data_volume_gb": 1, "dependencies": []},
    }


def stopped(kit: Kit, number: int, make: Callable[[], Any], load: str) -> Any:
    """Return a database in which that many scripts of the plan have run and the application has written since."""
    live = make()
    for text in (load, *(script["script_content"] for script in kit.scripts[:number]), MEANWHILE):
        done = live.apply(text)
        assert done.code == 0, done.err
    return live


def comes_back(kit: Kit, make: Callable[[], Any], ask: Callable[[Any], Any], env: Dict[str, str]) -> None:
    """From every script: the same as never migrated, with what was written meanwhile; again: nothing."""
    wanted = ask(stopped(kit, 0, make, BEFORE + SEED))
    for number in range(1, len(kit.scripts) + 1):
        live = stopped(kit, number, make, BEFORE + SEED)
        done = kit.undo(live.name, "--from-phase", kit.phase_of(number), env=env)
        assert done.code == 0, (number, done.out, done.err)
        assert ask(live) == wanted, number
        again = kit.undo(live.name, "--from-phase", kit.phase_of(number), env=env)
        assert (again.code, changed(again), ask(live)) == (0, [], wanted), (number, again.out)


def schema_by(asset: str, live: Any) -> Any:
    document = json.loads(live.query((ASSETS / asset).read_text(encoding="utf-8")))
    for table in document["tables"].values():
        table.pop("row_count", None)
        table.pop("size_mb", None)
        if "sql" in table:  # a rename of SQLite puts quotes around the name
            table["sql"] = " ".join(table["sql"].replace('"', "").split())
    return {**document, "database": "any"}


@pytest.mark.parametrize(
    "engine, asset", [("sqlite", "export_schema_sqlite.sql"), ("mariadb", "export_schema_mysql.sql")]
)
def test_comes_back_from_every_script(engine: str, asset: str, request: Any, tmp_path: Path) -> None:
    make = request.getfixturevalue(f"new_{engine}")
    sides = []
    for text in (BEFORE, AFTER):
        live = make()
        assert live.apply(text).code == 0
        sides.append(schema_by(asset, live))
    kit = kit_of(tmp_path / "kit", *sides, spec(engine))
    assert len(kit.scripts) >= 3
    assert shellcheck(kit.folder / "rollback.sh") == ""

    def ask(live: Any) -> Any:
        found = [live.query(f"SELECT * FROM {name} ORDER BY id") for name in ("customers", "orders")]
        return schema_by(asset, live), found

    comes_back(kit, make, ask, {"SQLITE3": shutil.which("sqlite3") or "", "MARIADB": shutil.which("mariadb") or ""})


def test_locked_file_has_its_own_exit_code(new_sqlite: Callable[[], Any], tmp_path: Path) -> None:
    sides = []
    for text in (BEFORE, AFTER):
        live = new_sqlite()
        assert live.apply(text).code == 0
        sides.append(schema_by("export_schema_sqlite.sql", live))
    kit = kit_of(tmp_path / "kit", *sides, spec("sqlite"))
    live = stopped(kit, len(kit.scripts), new_sqlite, BEFORE + SEED)
    holder = sqlite3.connect(live.name, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    held = kit.undo(live.name)
    holder.close()
    assert (held.code, changed(held)) == (75, [])
    assert kit.undo(live.name).code == 0
