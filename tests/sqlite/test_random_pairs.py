"""Schemas that nobody wrote: a seed makes a pair, and the scripts go there and back, or stop and leave no trace."""

import json
import shutil
import sqlite3

import pytest
from schema_pairs import make_pair

ROWS_IN_THE_WAY = ("constraint failed", "cannot store", "datatype mismatch")  # the only good reasons to stop


def fill(database, rows):
    connection = sqlite3.connect(database.path)
    for statement, values in rows:
        connection.execute(statement, values)
    connection.commit()
    connection.close()


def contents(database):
    """Return every row with its rowid, columns by name; text that is no UTF-8 as it is. A counter of 0 is none."""
    connection = sqlite3.connect(database.path)
    connection.text_factory = bytes
    found = {}
    for table, body in database.document()["tables"].items():
        names = ['"' + name.replace('"', '""') + '"' for name in sorted(body["columns"])]
        row = [] if body.get("without_rowid") else ["rowid"]
        source = '"' + table.replace('"', '""') + '"'
        found[table] = sorted(connection.execute(f"SELECT {', '.join(row + names)} FROM {source}"), key=repr)
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchall():
        found["counters"] = connection.execute("SELECT * FROM sqlite_sequence WHERE seq ORDER BY name").fetchall()
    connection.close()
    return {table: rows for table, rows in found.items() if rows}


def run_all(live, scripts):
    """Apply scripts, each proven by its query; return how many ran and why the next one stopped."""
    for number, script in enumerate(scripts):
        assert live.must(script["validation_query"]) == "0\n", script["description"]
        done = live.run(script["script_content"])
        if done.returncode:
            return number, done.stderr
        assert live.must(script["validation_query"]) == "1\n", script["description"]
    return len(scripts), ""


@pytest.mark.parametrize("seed", range(30))
def test_a_random_pair_goes_there_and_back(bench, seed):
    pair = make_pair(seed)
    live, wanted = bench.database("live", pair.before), bench.database("wanted", pair.after)
    fill(live, pair.rows)
    shutil.copy(live.path, bench.folder / "start.db")
    start = type(live)(bench.folder / "start.db")
    goal = wanted.document()
    for place, members in pair.hints.items():
        table, _, column = place.rpartition(".")
        (goal["tables"][table]["columns"][column] if table else goal["tables"][column]).update(members)
    (bench.folder / "wanted.json").write_text(json.dumps(goal), encoding="utf-8")
    scripts = bench.check(live.path, bench.folder / "wanted.json")[0]["migration_scripts"]
    if any(script["script_type"] == "manual" for script in scripts):
        return
    assert {script["reversibility"] for script in scripts} <= {"lossless"}
    count, error = run_all(live, scripts)
    if not error:
        assert bench.check(live.path, wanted.path)[0]["migration_scripts"] == []
    assert not error or any(reason in error for reason in ROWS_IN_THE_WAY), error
    for stop in (count, len(scripts) // 2):
        if stop != count:  # once more from the start, interrupted half-way inside a script
            shutil.copy(start.path, live.path)
            run_all(live, scripts[:stop])
            assert live.run(scripts[stop]["script_content"].replace("COMMIT;", "SELECT broken;\nCOMMIT;")).returncode
        for script in reversed(scripts[:stop]):
            live.must(script["rollback_script"])
        assert contents(live) == contents(start)
        assert bench.check(live.path, start.path)[0]["migration_scripts"] == []
