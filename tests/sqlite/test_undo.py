"""What was written between the scripts and their undo survives it; what was archived comes back."""

import pytest

T = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL, b TEXT COLLATE NOCASE);"
ROWS = "INSERT INTO t VALUES (1, '01', 'x'), (2, '2', 'y'), (3, 'z', 'z');"


def test_rows_written_since_survive_a_dropped_column(bench):
    migration = bench.migration(T + ROWS, "CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT COLLATE NOCASE);")
    migration.apply()
    migration.live.must(
        "INSERT INTO t VALUES (9, 'new'); DELETE FROM t WHERE id = 2; UPDATE t SET b = 'X!' WHERE id = 1;"
    )
    migration.undo()
    assert migration.live.rows("SELECT * FROM t ORDER BY id") == [(1, "01", "X!"), (3, "z", "z"), (9, "", "new")]


def test_values_changed_since_keep_their_change_through_a_conversion_back(bench):
    migration = bench.migration(T + ROWS, T.replace("a TEXT", "a INTEGER"))
    migration.apply()
    assert migration.live.rows("SELECT a FROM t ORDER BY id") == [(1,), (2,), ("z",)]
    migration.live.must("UPDATE t SET a = 77 WHERE id = 2; INSERT INTO t VALUES (4, 5, 'w');")
    migration.undo()
    assert migration.live.rows("SELECT a FROM t ORDER BY id") == [("01",), ("77",), ("z",), ("5",)]


def test_a_change_of_case_counts_as_a_change_in_a_column_that_folds_it(bench):
    migration = bench.migration(T + ROWS, T.replace("b TEXT COLLATE NOCASE", "b INT COLLATE NOCASE"))
    migration.apply()
    migration.live.must("UPDATE t SET b = 'Y' WHERE id = 2;")
    migration.undo()
    assert migration.live.rows("SELECT b FROM t ORDER BY id") == [("x",), ("Y",), ("z",)]


@pytest.mark.parametrize("number", [4, 400], ids=["below the old counter", "above the old counter"])
def test_a_counter_never_goes_back(bench, number):
    counted = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a);"
    migration = bench.migration(
        counted + "INSERT INTO t VALUES (3, 'a'), (90, 'b'); DELETE FROM t WHERE id = 90;",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a);",
    )
    migration.apply()
    migration.live.must(f"INSERT INTO t VALUES ({number}, 'c');")
    migration.undo()
    assert migration.live.rows("SELECT * FROM sqlite_sequence") == [("t", max(90, number))]


def test_nothing_of_the_archive_is_left(bench):
    migration = bench.migration(
        T + ROWS + "CREATE TABLE u (a); INSERT INTO u VALUES (1);", "CREATE TABLE t (id INTEGER PRIMARY KEY, a BLOB);"
    )
    migration.apply()
    assert [name for _, name, _ in migration.live.schema() if name.startswith("_migration_archive")]
    migration.undo()
    assert not [name for _, name, _ in migration.live.schema() if name.startswith("_migration")]


@pytest.mark.parametrize(
    "wanted, advised", [("CREATE TABLE t (id INTEGER PRIMARY KEY);", True), (T + "CREATE TABLE u (a);", False)]
)
def test_the_advice_names_the_archive_that_the_database_has(bench, wanted, advised):
    advice = " ".join(bench.migration(T + ROWS, wanted).report["recommendations"])
    assert ("tables named _migration_archive_*" in advice) == advised
    assert advice.count("migration_archive") == advised


def test_the_archive_of_an_earlier_migration_is_not_in_the_way(bench):
    first = bench.migration(T + ROWS, "CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT COLLATE NOCASE);")
    first.apply()
    goal = bench.database("goal", "CREATE TABLE t (id INTEGER PRIMARY KEY);")
    report, _ = bench.check(first.live.path, goal.path)
    second = first._replace(report=report)
    second.apply()
    second.undo()
    first.undo()
    assert first.live.rows("SELECT * FROM t ORDER BY id") == [(1, "01", "x"), (2, "2", "y"), (3, "z", "z")]


def test_a_vacuum_in_between_does_not_mix_up_rows(bench):
    live = "CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT);"
    migration = bench.migration(
        live + "INSERT INTO t (rowid, k, v) VALUES (10, 'a', 'A'), (20, 'b', 'B'), (30, 'c', 'C');",
        "CREATE TABLE t (k TEXT PRIMARY KEY);",
    )
    migration.apply()
    migration.live.must("DELETE FROM t WHERE k = 'a'; VACUUM;")
    migration.undo()
    assert migration.live.rows("SELECT k, v FROM t ORDER BY k") == [("b", "B"), ("c", "C")]
