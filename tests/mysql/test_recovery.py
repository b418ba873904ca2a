"""What happens between the scripts and their undo: rows written since, runs that stop, rows in the way, locks."""

import subprocess
import time

import pytest

from my_live import different, everything, rows

pytestmark = pytest.mark.live

T = (
    "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, a varchar(40) NOT NULL, b varchar(20), u "
    "timestamp NULL ON UPDATE current_timestamp());"
)
ROWS = "INSERT INTO t VALUES (1, '01', 'x', '2001-01-01 00:00:00'), (2, '2', 'y', NULL), (3, '30', 'z', NULL);"


def values(database, query: str):
    return [line.split("\t") for line in database.query(query).splitlines()]


def test_rows_written_since_survive_a_dropped_column(bench):
    migration = bench.migration(T + ROWS, T.replace("a varchar(40) NOT NULL, ", ""))
    migration.apply()
    done = migration.live.apply(
        "INSERT INTO t (id, b) VALUES (9, 'new'); DELETE FROM t WHERE id = 2; UPDATE t SET b = 'X' WHERE id = 1;"
    )
    assert done.code == 0, done.err
    migration.undo()
    found = values(migration.live, "SELECT id, a, b FROM t ORDER BY id;")
    assert [row for row in found if row[0] != "9"] == [["1", "01", "X"], ["3", "30", "z"]]
    assert found[-1][0] == "9", "the row of the new release is still there"


def test_values_changed_since_keep_their_change_through_a_conversion_back(bench):
    migration = bench.migration(T + ROWS, T.replace("a varchar(40)", "a int"))
    migration.apply()
    assert values(migration.live, "SELECT a FROM t ORDER BY id;") == [["1"], ["2"], ["30"]]
    done = migration.live.apply("UPDATE t SET a = 77 WHERE id = 2; INSERT INTO t (id, a) VALUES (4, 5);")
    assert done.code == 0, done.err
    migration.undo()
    assert values(migration.live, "SELECT a FROM t ORDER BY id;") == [["01"], ["77"], ["30"], ["5"]]


def test_an_undo_moves_no_clock_and_fires_no_trigger(bench):
    trigger = (
        "SET sql_mode = 'ANSI_QUOTES'; CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW SET NEW.\"b\" = "
        "concat(NEW.\"b\", '!');"
    )
    migration = bench.migration(T + ROWS + trigger, T.replace("a varchar(40)", "a varchar(5)") + trigger)
    before = everything(migration.live)
    migration.apply()
    migration.undo()
    assert different(before, everything(migration.live)) == {}


def test_a_dropped_table_keeps_the_counter_of_its_key(bench):
    migration = bench.migration(T + ROWS + "DELETE FROM t WHERE id = 3;", "CREATE TABLE other (a int);")
    migration.apply()
    migration.undo()
    assert migration.live.apply("INSERT INTO t (a) VALUES ('next');").code == 0
    assert migration.live.query("SELECT MAX(id) FROM t;") == "4"


def test_nothing_of_the_archive_is_left(bench):
    migration = bench.migration(
        T + ROWS + "CREATE TABLE gone (a int);", "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, a int);"
    )
    migration.apply()
    tables = (
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name "
        "LIKE '\\_migration%';"
    )
    assert int(migration.live.query(tables)) >= 2
    assert "tables named _migration_archive_*" in " ".join(migration.report["recommendations"])
    migration.undo()
    assert migration.live.query(tables) == "0"


MANY = (
    T
    + "CREATE TABLE gone (a int PRIMARY KEY); CREATE VIEW v AS SELECT id, b FROM t;"
    + ROWS
    + "INSERT INTO gone VALUES (4);",
    "CREATE TABLE t (id bigint PRIMARY KEY AUTO_INCREMENT, a varchar(30) NOT NULL, c int NOT NULL "
    "DEFAULT 3, s int AS (c + 1) STORED,"
    " UNIQUE KEY one (a), KEY two (c), CONSTRAINT pos CHECK (c > 0));"
    "CREATE TABLE come (a bigint, CONSTRAINT up FOREIGN KEY (a) REFERENCES t (id)); CREATE VIEW v AS "
    "SELECT id, c FROM t;",
)


def test_a_run_that_stops_anywhere_is_undone_from_there(bench):
    migration = bench.migration(*MANY)
    before = everything(migration.live)
    assert len(migration.scripts) > 5
    for count in range(len(migration.scripts) + 1):
        for script in migration.scripts[:count]:
            done = migration.forward(script)
            assert done.code == 0, f"{script['id']}: {done.err}"
        migration.undo(count)
        assert different(before, everything(migration.live)) == {}, f"after {count} scripts"


def test_every_script_and_every_undo_can_be_run_twice(bench):
    """An archive is the exception: made again it would hold what is left, so it fails and keeps what it has."""
    migration = bench.migration(*MANY)
    before = everything(migration.live)
    for script in migration.scripts:
        assert migration.forward(script).code == 0, script["id"]
        again = migration.forward(script)
        if "_migration_archive_" not in script["script_content"] and "CREATE TABLE" not in script["script_content"]:
            assert again.code == 0, f"{script['id']}: {again.err}\n{script['script_content']}"
    for script in reversed(migration.scripts):
        migration.back(script)
    assert different(before, everything(migration.live)) == {}


PARENT = "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1);"
REFUSED = {
    "NULL in a column that becomes NOT NULL": ("a int", "a int NOT NULL", "(NULL)", "holds NULL in a"),
    "duplicates under a new unique key": ("a int", "a int, UNIQUE KEY one (a)", "(1), (1)", "not unique for one"),
    "a row that a new CHECK forbids": ("a int", "a int, CONSTRAINT pos CHECK (a > 0)", "(-1)", "violate pos"),
    "an orphan under a new foreign key": (
        "a int, KEY a (a)",
        "a int, KEY a (a), CONSTRAINT up FOREIGN KEY (a) REFERENCES p (id)",
        "(5)",
        "no parent for up",
    ),
    "text longer than the new length": ("a varchar(20)", "a varchar(3)", "('12345')", "a"),
    "text that is no number": ("a varchar(20)", "a int", "('x')", "a"),
    "a label that is taken away": ("a enum('x','y')", "a enum('y')", "('x')", "a"),
}


@pytest.mark.parametrize("old, new, row, said", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("key", ["", "id int PRIMARY KEY AUTO_INCREMENT, "], ids=["no key", "key"])
def test_rows_that_violate_the_new_schema_stop_it_and_everything_is_as_before(bench, old, new, row, said, key):
    live = f"{PARENT}CREATE TABLE t ({key}{old}); INSERT INTO t (a) VALUES {row};"
    migration = bench.migration(live, f"{PARENT}CREATE TABLE t ({key}{new});")
    before = everything(migration.live)
    for count, script in enumerate(migration.scripts, 1):
        done = migration.forward(script)
        if done.code:
            break
    assert done.code != 0 and said in done.err, "the rows must not be changed to fit"
    migration.undo(count)
    assert different(before, everything(migration.live)) == {}


REQUIRED = "CREATE TABLE t (id int PRIMARY KEY, b varchar(9) NOT NULL);"


def test_a_question_instead_of_a_value_that_the_server_invents(bench):
    migration = bench.migration("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);", REQUIRED)
    assert [script["script_type"] for script in migration.scripts] == ["manual"]
    assert "tables.t.columns.b" in migration.scripts[0]["description"]


def test_a_table_that_was_empty_when_it_was_exported_is_not_filled_unasked(bench):
    migration = bench.migration("CREATE TABLE t (id int PRIMARY KEY);", REQUIRED)
    assert migration.live.apply("INSERT INTO t VALUES (1);").code == 0
    done = migration.forward(migration.scripts[0])
    assert done.code != 0 and "nothing says what they get for b" in done.err
    assert migration.live.apply("DELETE FROM t;").code == 0
    migration.apply()
    assert migration.forward(migration.scripts[0]).code == 0, "it can be run again when rows have come"
    migration.undo()


def test_a_script_that_waits_for_its_lock_makes_nobody_queue(bench):
    """A plain ALTER TABLE behind a long transaction would stop every reader behind itself."""
    migration = bench.migration(T + ROWS, T.replace("b varchar(20)", "b varchar(20), c int"))
    holder = subprocess.Popen(migration.live.client, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    holder.stdin.write("BEGIN; SELECT * FROM t; SELECT SLEEP(5); COMMIT;")
    holder.stdin.close()
    time.sleep(1)
    script = subprocess.Popen(migration.live.client, stdin=subprocess.PIPE, text=True)
    script.stdin.write(migration.scripts[0]["script_content"])
    script.stdin.close()
    slowest = 0.0
    for _ in range(6):
        start = time.monotonic()
        assert rows(migration.live)["t"]
        slowest = max(slowest, time.monotonic() - start)
    waited = script.poll() is None
    assert (holder.wait(30), script.wait(30)) == (0, 0)
    assert waited and slowest < 3, slowest
    assert migration.live.query(migration.scripts[0]["validation_query"]) == "1"


def hold(database, statement: str, seconds: float) -> subprocess.Popen:
    """Start a transaction that keeps its locks for a while."""
    holder = subprocess.Popen(database.client, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    holder.stdin.write(f"BEGIN; {statement}; SELECT SLEEP({seconds}); COMMIT;")
    holder.stdin.close()
    time.sleep(0.7)
    return holder


def test_looking_for_rows_in_the_way_locks_none(bench):
    """IF EXISTS in a block would wait for the row, and then keep all that it has read from being written."""
    migration = bench.migration(T + ROWS, T.replace("a varchar(40)", "a int"))
    look = next(script for script in migration.scripts if "INTO _found" in script["script_content"])
    text = look["script_content"]
    block = text[text.index("DELIMITER //") : text.index("DELIMITER ;")]
    assert "_found" in block
    holder = hold(migration.live, "UPDATE t SET b = 'q' WHERE id = 1", 8)
    done = migration.live.apply(f"SET SESSION innodb_lock_wait_timeout = 1;\n{block}")
    assert holder.poll() is None and done.code == 0, done.err
    assert holder.wait(30) == 0


def test_batches_never_wait_while_they_hold_rows(bench):
    """A transaction that has one row and comes back for another must not become the victim of a deadlock."""
    migration = bench.migration(T + ROWS, T.replace("a varchar(40)", "a int"))
    *first, fill = (script for script in migration.scripts if script["phase"] != "contract")
    for script in first:
        assert migration.forward(script).code == 0
    second = "UPDATE t SET b = 'r' WHERE id = 1"
    holder = hold(migration.live, f"UPDATE t SET b = 'q' WHERE id = 3; SELECT SLEEP(2); {second}", 1)
    done = migration.forward(fill)
    assert done.code == 0, done.err
    assert holder.wait(30) == 0, "the program was ended by a deadlock"
    assert values(migration.live, "SELECT b FROM t ORDER BY id;") == [["r"], ["y"], ["q"]]


def test_a_rename_that_stopped_half_way_is_repeated_or_undone(bench):
    """By then the script has made an empty table of the new name: neither way may take it for the real one."""
    live = T.replace("TABLE t", "TABLE `old t`") + ROWS.replace("INTO t", "INTO `old t`")
    wanted = T.replace("TABLE t", "TABLE `new t`")
    migration = bench.migration(live, wanted, {"new t": {"renamed_from": "old t"}})
    before = everything(migration.live)
    for count in (len(migration.scripts), 1):
        assert migration.live.apply("CREATE TABLE `new t` LIKE `old t`;").code == 0
        if count > 1:
            migration.apply()
        migration.undo(count)
        assert different(before, everything(migration.live)) == {}


def test_a_rename_does_not_touch_another_table_of_the_new_name(bench):
    wanted = T.replace("TABLE t", "TABLE n")
    migration = bench.migration(T + ROWS, wanted, {"n": {"renamed_from": "t"}})
    assert migration.live.apply("CREATE TABLE n (id int); INSERT INTO n VALUES (1);").code == 0
    before = everything(migration.live)
    done = migration.forward(migration.scripts[0])
    assert done.code != 0 and "another table n" in done.err
    migration.undo(1)
    assert different(before, everything(migration.live)) == {}


def test_the_archive_of_an_earlier_migration_is_not_in_the_way(bench):
    one, two, three = T, T.replace("b varchar(20), ", ""), T.replace("a varchar(40) NOT NULL, b varchar(20), ", "")
    first = bench.migration(one + ROWS, two)
    before = everything(first.live)
    first.apply()
    middle = everything(first.live)
    second = first._replace(wanted=bench.database(three))
    second = second._replace(report=second.check_again())
    second.apply()
    second.undo()
    assert different(middle, everything(first.live)) == {}
    first.undo()
    assert different(before, everything(first.live)) == {}
