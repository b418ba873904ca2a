"""The whole chain on database files: check, apply, check again, roll back. The clock of truth is sqlite3 itself."""

import pytest

PARENT = "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT);"
CHILD = "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id) ON DELETE CASCADE, note TEXT);"
PARENTS = "INSERT INTO p VALUES (1, 'a'), (7, 'it''s'), (9, NULL);"
ROWS = PARENTS + "INSERT INTO c VALUES (1, 1, 'x'), (2, 7, 'y'), (3, 7, NULL);"

CASES = {
    "a table comes": ("", "CREATE TABLE t (a TEXT UNIQUE, b INT DEFAULT (1 + 1)); CREATE INDEX i ON t (b);", ""),
    "a table goes with index and trigger": (
        PARENT
        + CHILD
        + "CREATE INDEX i ON c (note); CREATE TRIGGER g AFTER INSERT ON c BEGIN DELETE FROM c WHERE 0; END;",
        PARENT,
        ROWS,
    ),
    "a table without a key goes": (
        "CREATE TABLE t (a, b);",
        "",
        "INSERT INTO t (rowid, a) VALUES (5, x'00'), (9, NULL);",
    ),
    "a column comes": (PARENT, "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT, age INT DEFAULT -1);", PARENTS),
    "a column with reference and check comes": (
        PARENT + CHILD,
        PARENT + CHILD.replace("note TEXT", "note TEXT, up INT REFERENCES c (id), n INT CHECK (n > 0)"),
        ROWS,
    ),
    "a column that ADD COLUMN refuses": (
        PARENT,
        "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT, born TEXT NOT NULL DEFAULT (lower('NOW')));",
        "INSERT INTO p VALUES (1, 'a');",
    ),
    "a column goes": (PARENT, "CREATE TABLE p (id INTEGER PRIMARY KEY);", "INSERT INTO p VALUES (3, 'a'), (4, NULL);"),
    "a column goes while a view is broken": (
        PARENT + "CREATE VIEW v AS SELECT gone FROM nowhere;",
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE VIEW v AS SELECT gone FROM nowhere;",
        "INSERT INTO p VALUES (3, 'a');",
    ),
    "a key column of a table without INTEGER PRIMARY KEY goes": (
        "CREATE TABLE t (a TEXT, b TEXT, c TEXT, PRIMARY KEY (a, b));",
        "CREATE TABLE t (a TEXT, c TEXT);",
        "INSERT INTO t VALUES ('1', '1', 'x'), ('1', '2', 'y'), (NULL, '2', 'z'), (NULL, '2', 'zz');",
    ),
    "text becomes integer": (
        "CREATE TABLE t (k TEXT PRIMARY KEY, n TEXT NOT NULL);",
        "CREATE TABLE t (k TEXT PRIMARY KEY, n INTEGER NOT NULL);",
        "INSERT INTO t VALUES ('a', '007'), ('b', ' 8 '), ('c', '1e2'), ('d', 'no number'), ('e', '0.10');",
    ),
    "the key changes its affinity": (
        "CREATE TABLE t (k TEXT PRIMARY KEY, v) WITHOUT ROWID;",
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v);",
        "INSERT INTO t VALUES ('01', 'a'), ('2', 'b'), ('30', NULL);",
    ),
    "NOT NULL, CHECK, UNIQUE and COLLATE come": (
        "CREATE TABLE t (a TEXT, b INT);",
        "CREATE TABLE t (a TEXT NOT NULL COLLATE NOCASE UNIQUE, b INT, CONSTRAINT few CHECK (b < 9));",
        "INSERT INTO t (rowid, a, b) VALUES (4, 'x', 1), (2, 'y', NULL);",
    ),
    "a foreign key gets another answer": (PARENT + CHILD, PARENT + CHILD.replace("CASCADE", "SET NULL"), ROWS),
    "the parent of children is built anew": (
        PARENT + CHILD,
        PARENT.replace("name TEXT", "name TEXT COLLATE NOCASE") + CHILD,
        ROWS,
    ),
    "AUTOINCREMENT goes": (
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a);",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a);",
        "INSERT INTO t VALUES (5, 1), (90, 2); DELETE FROM t WHERE id = 90;",
    ),
    "AUTOINCREMENT stays through a rebuild": (
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a INT);",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT);",
        "INSERT INTO t VALUES (5, 1), (90, 2); DELETE FROM t;",
    ),
    "a table with AUTOINCREMENT goes": (
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a); CREATE TABLE u (a);",
        "CREATE TABLE u (a);",
        "INSERT INTO t VALUES (5, 1), (90, 2); DELETE FROM t WHERE id = 90;",
    ),
    "STRICT and WITHOUT ROWID come": (
        "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b INT);",
        "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b INT) STRICT, WITHOUT ROWID;",
        "INSERT INTO t VALUES ('x', 1), ('y', NULL);",
    ),
    "a plain column becomes generated": (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT);",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT AS (a * 2) STORED);",
        "INSERT INTO t VALUES (1, 1, 2), (2, 5, NULL), (3, NULL, 70);",
    ),
    "views and triggers name the table that is built anew": (
        PARENT
        + "CREATE VIEW v AS SELECT name FROM p; CREATE TABLE log (t TEXT);"
        + "CREATE TRIGGER w INSTEAD OF INSERT ON v BEGIN INSERT INTO p (name) VALUES (new.name); END;"
        + "CREATE TRIGGER g AFTER UPDATE ON p BEGIN INSERT INTO log VALUES (new.name || ';'); END;",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'n');"
        + "CREATE VIEW v AS SELECT name FROM p; CREATE TABLE log (t TEXT);"
        + "CREATE TRIGGER w INSTEAD OF INSERT ON v BEGIN INSERT INTO p (name) VALUES (new.name); END;"
        + "CREATE TRIGGER g AFTER UPDATE ON p BEGIN INSERT INTO log VALUES (new.name || ';'); END;",
        "INSERT INTO p VALUES (1, 'a'), (2, 'b');",
    ),
    "a view and its INSTEAD OF trigger change": (
        PARENT + "CREATE VIEW v AS SELECT id FROM p; CREATE TRIGGER w INSTEAD OF DELETE ON v BEGIN SELECT 1; END;",
        PARENT + "CREATE VIEW v (x) AS SELECT id FROM p; CREATE TRIGGER w INSTEAD OF DELETE ON v BEGIN SELECT 2; END;",
        "",
    ),
    "names that need quotes": (
        'CREATE TABLE "my.table" ("a b" INTEGER PRIMARY KEY, [select] TEXT, "q""q" INT, `it\'s` REAL);',
        'CREATE TABLE "my.table" ("a b" INTEGER PRIMARY KEY, "q""q" TEXT, `it\'s` REAL NOT NULL);'
        'CREATE INDEX "i;""i" ON "my.table" ("q""q");',
        """INSERT INTO "my.table" VALUES (1, 'x', 2, 0.5), (2, NULL, NULL, -1e9);""",
    ),
    "ON CONFLICT must not swallow rows": (
        "CREATE TABLE t (a INT, b INT);",
        "CREATE TABLE t (a INT NOT NULL ON CONFLICT REPLACE DEFAULT 0, b INT UNIQUE ON CONFLICT IGNORE);",
        "INSERT INTO t VALUES (1, 2), (3, 4);",
    ),
    "an index moves to another table under its name": (
        "CREATE TABLE s (a); CREATE TABLE t (a); CREATE INDEX i ON s (a);",
        "CREATE TABLE s (a); CREATE TABLE t (a); CREATE INDEX i ON t (a);",
        "",
    ),
}


@pytest.mark.parametrize("live, wanted, rows", CASES.values(), ids=CASES.keys())
def test_there_and_back(bench, live, wanted, rows):
    migration = bench.migration(live + rows, wanted)
    before = migration.live.everything()
    assert migration.scripts and all(script["reversibility"] == "lossless" for script in migration.scripts)
    migration.apply()
    again, code = bench.check(migration.live.path, bench.folder / "wanted.db")
    assert (again["migration_scripts"], code) == ([], 0)
    assert migration.live.rows("PRAGMA integrity_check") == [("ok",)]
    assert migration.live.rows("PRAGMA foreign_key_check") == []
    migration.undo()
    assert migration.live.everything() == before


def test_kept_values_survive_forward(bench):
    migration = bench.migration(PARENT + CHILD + ROWS, PARENT.replace("name TEXT", "name TEXT UNIQUE, age INT") + CHILD)
    children = migration.live.rows("SELECT * FROM c ORDER BY id")
    migration.apply()
    assert migration.live.rows("SELECT id, name FROM p ORDER BY id") == [(1, "a"), (7, "it's"), (9, None)]
    assert migration.live.rows("SELECT * FROM c ORDER BY id") == children, "DROP TABLE must not cascade to children"


REFUSED = {
    "NULL in a column that becomes NOT NULL": ("CREATE TABLE t (a INT);", "CREATE TABLE t (a INT NOT NULL);", "(NULL)"),
    "duplicates under a new UNIQUE": ("CREATE TABLE t (a INT);", "CREATE TABLE t (a INT UNIQUE);", "(1), (1)"),
    "duplicates under ON CONFLICT REPLACE": (
        "CREATE TABLE t (a INT);",
        "CREATE TABLE t (a INT UNIQUE ON CONFLICT REPLACE);",
        "(1), (1)",
    ),
    "a row that a new CHECK forbids": ("CREATE TABLE t (a INT);", "CREATE TABLE t (a INT CHECK (a > 0));", "(-1)"),
    "text in a table that becomes STRICT": ("CREATE TABLE t (a INT);", "CREATE TABLE t (a INT) STRICT;", "('x')"),
    "duplicates under a new unique index": (
        "CREATE TABLE t (a INT);",
        "CREATE TABLE t (a INT); CREATE UNIQUE INDEX i ON t (a);",
        "(1), (1)",
    ),
    "an orphan under a new foreign key": (
        PARENT + "CREATE TABLE t (a INT);",
        PARENT + "CREATE TABLE t (a INT REFERENCES p (id));",
        "(5)",
    ),
}


@pytest.mark.parametrize("live, wanted, values", REFUSED.values(), ids=REFUSED.keys())
def test_rows_that_violate_the_new_schema_stop_it_cleanly(bench, live, wanted, values):
    migration = bench.migration(f"{live} INSERT INTO t VALUES {values};", wanted)
    before = migration.live.everything()
    failed = migration.live.run(migration.scripts[-1]["script_content"])
    assert failed.returncode != 0 and "constraint failed" in failed.stderr or "cannot store" in failed.stderr
    assert migration.live.everything() == before


def test_orphans_that_were_there_before_do_not_stop_another_change(bench):
    live = PARENT + CHILD + "INSERT INTO c VALUES (1, 99, 'orphan');"
    migration = bench.migration(live, PARENT + CHILD.replace("note TEXT", "note TEXT NOT NULL"))
    migration.apply()
    assert migration.live.rows("SELECT p FROM c") == [(99,)]


ASKED = {
    "NOT NULL without a default": ("CREATE TABLE t (a INT, b INT NOT NULL);", "b"),
    "unique with one default for all rows": ("CREATE TABLE t (a INT, b TEXT NOT NULL DEFAULT '' UNIQUE);", "b"),
}


@pytest.mark.parametrize("wanted, column", ASKED.values(), ids=ASKED.keys())
def test_a_question_instead_of_an_invented_value(bench, wanted, column):
    migration = bench.migration("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2);", wanted)
    assert [script["script_type"] for script in migration.scripts] == ["manual"]
    assert f"tables.t.columns.{column}" in migration.scripts[0]["description"]


def test_an_empty_table_takes_a_required_column(bench):
    migration = bench.migration("CREATE TABLE t (a INT);", "CREATE TABLE t (a INT, b INT NOT NULL);")
    migration.apply()
    migration.undo()


def test_one_rebuild_for_all_changes_of_a_table(bench):
    wanted = (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, age INT NOT NULL DEFAULT 3 CHECK (age > 0)); CREATE INDEX "
        "i ON p (age);"
    )
    migration = bench.migration(PARENT + "CREATE INDEX j ON p (name);", wanted.replace("CHECK", "UNIQUE CHECK"))
    assert len(migration.scripts) == 1 and migration.scripts[0]["rewrites_table"]


def test_identical_files_have_no_issue(bench):
    one, other = bench.database("one", PARENT + CHILD + ROWS), bench.database("other", PARENT + CHILD)
    assert bench.check(one.path, other.path)[1] == 0


def test_a_corrupt_file_is_an_error_with_its_name(bench, capsys):
    import compatibility_checker as checker

    path = bench.folder / "broken.db"
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 600)
    assert checker.run("checker", checker.main, ["--before", str(path), "--after", str(path)]) == 3
    assert "broken.db: cannot be read as an SQLite database" in capsys.readouterr().err


def test_reading_leaves_the_file_as_it_is(bench):
    database = bench.database("live", "PRAGMA journal_mode = WAL;" + PARENT + PARENTS)
    content = database.path.read_bytes()
    bench.check(database.path, database.path)
    assert database.path.read_bytes() == content


def test_json_and_file_give_the_same_report(bench):
    migration = bench.migration(PARENT + CHILD + ROWS, CHILD.replace("note TEXT", "note BLOB"))
    paths = []
    for name in ("live", "wanted"):
        document = bench.folder / f"{name}.json"
        database = bench.folder / f"{name}.db"
        export = open("assets/export_schema_sqlite.sql", encoding="utf-8").read()
        document.write_text(type(migration.live)(database).must(export), encoding="utf-8")
        paths.append(document)
    report, code = bench.check(*paths)
    assert code == migration.code
    assert report["migration_scripts"] == migration.scripts
    assert [i["fingerprint"] for i in report["issues"]] == [i["fingerprint"] for i in migration.report["issues"]]
