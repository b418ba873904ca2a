"""The exported rollback.sh on SQLite and MariaDB: from any script back, with the rows written meanwhile."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from running import ASSETS
from undo_live import Kit, changed, exported, kit_of, shellcheck, start

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


COLUMNS = {  # the query that finds a column, as the checker writes it for the dialect
    "sqlite": "SELECT count(*) FROM pragma_table_info('t') WHERE name = '{0}';",
    "mariadb": "SELECT count(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 't' "
    "AND column_name = '{0}';",
}


def columns_kit(folder: Path, engine: str, names: List[str]) -> Kit:
    """Return the undo of a migration that added columns to `t`, one script for each."""
    scripts = [
        {
            "id": f"{number:03d}_expand_{name}",
            "phase": "expand",
            "rollback_script": f"ALTER TABLE {'`t`' if engine == 'mariadb' else 't'} DROP COLUMN {name};",
            "validation_query": COLUMNS[engine].format(name),
            "transactional": engine == "sqlite",
        }
        for number, name in enumerate(names, 1)
    ]
    return exported(folder, {"migration_id": "abc", "phases": [{"name": "expand", "scripts": scripts}]})


def with_columns(live: Any, names: List[str]) -> Any:
    added = "".join(f"ALTER TABLE t ADD COLUMN {name} int;\n" for name in names)
    assert live.apply(f"CREATE TABLE t (id int PRIMARY KEY);\n{added}INSERT INTO t (id) VALUES (1);").code == 0
    return live


def clients() -> Dict[str, str]:
    return {"SQLITE3": shutil.which("sqlite3") or "", "MARIADB": shutil.which("mariadb") or ""}


@pytest.mark.parametrize("engine", ["sqlite", "mariadb"])
def test_killed_between_steps_and_run_again(engine: str, request: Any, tmp_path: Path) -> None:
    """kill -9 of the whole group after some steps: the next run undoes the rest, and the one after it nothing."""
    names = [f"c{number}" for number in range(12)]
    live = with_columns(request.getfixturevalue(f"new_{engine}")(), names)
    kit = columns_kit(tmp_path / "kit", engine, names)
    running = start(kit, live.name, clients())
    log = kit.folder / f"{Path(live.name).name}.journal"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and running.poll() is None:
        if log.exists() and log.read_text(encoding="utf-8").count("\tundone\t") >= 3:
            break
        time.sleep(0.02)
    assert running.poll() is None, running.communicate()
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    done = kit.undo(live.name, env=clients())
    assert done.code == 0, (done.out, done.err)
    assert [live.query(COLUMNS[engine].format(name)) for name in names] == ["0"] * len(names)
    assert live.query("SELECT count(*) FROM t") == "1"
    assert changed(kit.undo(live.name, env=clients())) == []


def test_held_lock_of_mariadb_has_its_own_exit_code(new_mariadb: Callable[[], Any], tmp_path: Path) -> None:
    live = with_columns(new_mariadb(), ["b"])
    kit = columns_kit(tmp_path, "mariadb", ["b"])
    holder = subprocess.Popen([*live.client, "--unbuffered"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        holder.stdin.write("BEGIN; SELECT id FROM t;\n")  # a reader's metadata lock: ALTER waits for its end
        holder.stdin.flush()
        assert "1" in [holder.stdout.readline().strip() for _ in range(2)]
        held = kit.undo(live.name, env=clients())
        assert (held.code, live.query(COLUMNS["mariadb"].format("b"))) == (75, "1"), held
    finally:
        holder.communicate("COMMIT;\n")
    assert kit.undo(live.name, env=clients()).code == 0
    assert live.query(COLUMNS["mariadb"].format("b")) == "0"
