"""The three scripts on two SQLite files, as a user without a server would run them: check, plan, apply, roll back."""

import json
import sys

from running import SCRIPTS, execute

LIVE = """
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL, nick TEXT, age TEXT);
CREATE TABLE notes (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES users (id) ON DELETE CASCADE, body TEXT);
CREATE TABLE old_log (at TEXT, line TEXT);
CREATE VIEW owners AS SELECT DISTINCT owner FROM notes;
INSERT INTO users VALUES (1, 'a@example.com', 'it''s', '07'), (5, 'b@example.com', NULL, NULL);
INSERT INTO notes VALUES (1, 5, 'one'), (2, 5, NULL), (3, 1, 'x');
INSERT INTO old_log VALUES ('2020', 'first'), (NULL, '');
"""
WANTED = """
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL COLLATE NOCASE UNIQUE, age INTEGER,
  tier TEXT NOT NULL DEFAULT 'free' CHECK (tier <> ''));
CREATE TABLE notes (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE, body TEXT);
CREATE TABLE tags (note INTEGER REFERENCES notes (id), tag TEXT, PRIMARY KEY (note, tag)) WITHOUT ROWID;
CREATE INDEX notes_by_owner ON notes (owner) WHERE body IS NOT NULL;
CREATE VIEW owners AS SELECT owner, count(*) AS notes FROM notes GROUP BY owner;
"""
SPEC = {
    "type": "database",
    "pattern": "schema_change",
    "source": {"name": "notes.db, schema 1", "engine": "SQLite", "version": "3.40"},
    "target": {"name": "notes.db, schema 2", "engine": "SQLite", "version": "3.40"},
    "description": "Unique addresses, tiers and tags.",
    "constraints": {"max_downtime_minutes": 5, "data_volume_gb": 1},
    "tables_to_migrate": [
        {"name": "users", "row_count": 2, "size_mb": 1},
        {"name": "notes", "row_count": 3, "size_mb": 1},
    ],
}


def call(name, folder, *args, codes=(0,)):
    done = execute([sys.executable, SCRIPTS / f"{name}.py", *args, "-q", "-f", "json"], cwd=folder)
    assert done.code in codes, done.err
    return done.json


def check(folder):
    return call("compatibility_checker", folder, "--before", "live.db", "--after", "wanted.db", codes=(0, 1, 2))


def test_check_plan_apply_and_roll_back_two_files(bench):
    live, folder = bench.database("live", LIVE), bench.folder
    bench.database("wanted", WANTED)
    before = live.everything()
    report = check(folder)
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (folder / "spec.json").write_text(json.dumps(SPEC), encoding="utf-8")

    plan = call("migration_planner", folder, "-i", "spec.json", "--compatibility", "report.json")
    planned = [script for phase in plan["phases"] for script in phase.get("scripts", [])]
    assert [script["id"] for script in planned] == [script["id"] for script in report["migration_scripts"]]
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")

    for script in planned:
        live.must(script["script_content"])
        assert live.must(script["validation_query"]) == "1\n", script["id"]
    assert check(folder)["migration_scripts"] == []
    assert live.rows("SELECT id, email, age, tier FROM users ORDER BY id") == [
        (1, "a@example.com", 7, "free"),
        (5, "b@example.com", None, "free"),
    ]
    assert live.rows("SELECT id, owner, body FROM notes ORDER BY id") == [(1, 5, "one"), (2, 5, None), (3, 1, "x")]

    runbook = call("rollback_generator", folder, "-i", "plan.json")
    steps = [step for phase in runbook["rollback_phases"] for step in phase["steps"] if step["source_script_id"]]
    undone = [step for step in steps if step["script_type"] == "sql"]
    assert [step["source_script_id"] for step in undone] == [script["id"] for script in reversed(planned)]
    for step in undone:
        live.must(step["script_content"])
    assert live.everything() == before
