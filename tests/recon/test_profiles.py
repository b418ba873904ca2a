"""Profiles of SQLite files: compared, merged, refused, followed down to the rows and repaired, without any server."""

import json
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

import compatibility_checker as checker
from chain import check, compare, issues
from json_schema import problems, read_schema
from running import ASSETS, Done

CREATE = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, name VARCHAR(40), amount DECIMAL(10,2), at DATETIME, "
    "updated_at DATETIME)"
)
ROWS = 1000
RANGES: Dict[str, Any] = {"chunking": {"orders": {"kind": "range", "size": 100}}}


def make(path: Path, *changes: str, create: str = CREATE, rows: int = ROWS) -> Path:
    """Return a file with the orders, changed by SQL."""
    connection = sqlite3.connect(path)
    connection.execute(create)
    connection.executemany("INSERT INTO orders VALUES (?,?,?,?,?)", (
        (n, f"order {n}", n * 0.25, f"2024-01-{n % 28 + 1:02} 10:00:00", "2024-02-01 00:00:00")
        for n in range(1, rows + 1)))
    for sql in changes:
        connection.execute(sql)
    connection.commit()
    connection.close()
    return path


def change(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(sql)
    connection.close()


@pytest.fixture
def pair(tmp_path: Path) -> List[Path]:
    return [make(tmp_path / "source.db"), make(tmp_path / "target.db")]


class Side:
    """The profile documents of one side, as a user collects them in a file."""

    def __init__(self, database: Path, role: str) -> None:
        self.database, self.role, self.clock = database, role, 0
        self.path = database.with_suffix(".jsonl")
        self.path.write_text("")

    def run(self, program: str, **replaced: Any) -> Dict[str, Any]:
        """Run a generated program on the file, append what it prints; each run is an hour later than the last."""
        done = subprocess.run([sys.executable, "-c", program, str(self.database)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        self.clock += 1
        document = {**json.loads(done.stdout), "captured_at": f"2026-01-01T{self.clock:02}:00:00Z", **replaced}
        with self.path.open("a") as file:
            file.write(json.dumps(document) + "\n")
        return document


def both(pair: List[Path], config: Optional[Dict[str, Any]] = None, *more: str) -> List[Side]:
    """Return both sides with the outputs of their profile queries."""
    done = check("--before", pair[0], "--after", pair[1], "-f", "json", *more, config=config or RANGES,
                 folder=pair[0].parent)
    assert done.code == 0, done.err
    table = done.json["reconciliation"]["tables"][0]
    sides = [Side(path, role) for path, role in zip(pair, ("source", "target"))]
    for side in sides:
        side.queries = table["queries"][side.role]["sqlite"]  # type: ignore[attr-defined]
        for name, program in side.queries.items():  # type: ignore[attr-defined]
            if name.startswith("profile"):
                side.run(program)
    return sides


def follow(sides: List[Side], done: Done) -> Dict[str, Any]:
    """Run the next queries of a report on both sides; return what it said about them."""
    said = done.json["reconciliation"]["tables"][0]["follow_up"]
    for side in sides:
        side.run(said["queries"][side.role]["query"])
    return said


def verdict(sides: List[Side], *more: Any, config: Optional[Dict[str, Any]] = None) -> Done:
    return check("--type", "data", "--before", sides[0].path, "--after", sides[1].path, "-f", "json", *more,
                 config=config,
                 folder=sides[0].path.parent)


def rewrite(side: Side, edit: Callable[[Dict[str, Any]], Any]) -> None:
    """Edit the documents of a side by hand."""
    documents = [json.loads(line) for line in side.path.read_text().splitlines()]
    for document in documents:
        edit(document)
    side.path.write_text("".join(json.dumps(document) + "\n" for document in documents))


# Files against files


def test_equal_files_are_fully_compatible(pair: List[Path]) -> None:
    done = compare(pair)
    assert (done.code, done.json["overall_compatibility"], done.json["issues"]) == (0, "fully_compatible", [])


def test_a_file_is_only_read(pair: List[Path]) -> None:
    before = [path.read_bytes() for path in pair]
    compare(pair)
    assert [path.read_bytes() for path in pair] == before
    assert sorted(path.name for path in pair[0].parent.iterdir()) == ["source.db", "target.db"]


def test_a_profile_made_elsewhere_meets_a_file(pair: List[Path]) -> None:
    source, target = both(pair)
    assert compare([source.path, pair[1]]).code == 0
    assert compare([pair[0], target.path]).code == 0
    change(pair[1], "UPDATE orders SET name = 'other' WHERE id = 555")
    done = compare([source.path, pair[1]])
    assert [(issue["type"], issue["chunks"]) for issue in issues(done, "breaking")] == [("value_mismatch", ["5"])]


def test_a_side_that_is_missing_a_table_or_empty_is_breaking(pair: List[Path], tmp_path: Path) -> None:
    empty = make(tmp_path / "empty.db", rows=0)
    assert [issue["type"] for issue in issues(compare([pair[0], empty]), "breaking")] == ["table_empty"]
    source = both(pair)[0]
    other = both([make(tmp_path / "a.db", "ALTER TABLE orders RENAME TO bills"),
                  make(tmp_path / "b.db", "ALTER TABLE orders RENAME TO bills")], {"pii": []})[1]
    assert {issue["type"] for issue in issues(compare([source.path, other.path]), "breaking")} == {"table_missing"}


def test_a_table_of_the_source_file_that_the_target_lacks_is_breaking(pair: List[Path]) -> None:
    change(pair[0], "CREATE TABLE lost (id INTEGER PRIMARY KEY); INSERT INTO lost VALUES (1)")
    done = compare(pair)
    assert (done.code, [issue["type"] for issue in issues(done, "breaking")]) == (2, ["table_missing"])
    assert compare(pair, "--exclude", "lost.*").code == 0


def test_keys_far_apart_are_put_into_hash_buckets(tmp_path: Path) -> None:
    spread = "UPDATE orders SET id = id * 1000003 + 10000000000000"
    files = [make(tmp_path / "a.db", spread),
             make(tmp_path / "b.db", spread, "DELETE FROM orders WHERE name = 'order 7'")]
    done = compare(files)
    assert [(issue["type"], issue["class"]) for issue in issues(done, "breaking")] == [("missing_rows", "rows_missing")]
    assert done.json["reconciliation"]["tables"][0]["chunks"] <= 16


@pytest.mark.parametrize("key", ["id TEXT PRIMARY KEY", "id INTEGER"])
def test_text_keys_and_tables_without_a_key_are_compared_as_sets(tmp_path: Path, key: str) -> None:
    create = CREATE.replace("id INTEGER PRIMARY KEY", key)
    files = [make(tmp_path / "a.db", create=create), make(tmp_path / "b.db", create=create)]
    assert compare(files).code == 0
    change(files[1], "UPDATE orders SET amount = amount + 1 WHERE id = 5")
    assert compare(files).code == 2


def test_a_row_that_is_twice_in_a_table_without_a_key_is_seen(tmp_path: Path) -> None:
    create = CREATE.replace(" PRIMARY KEY", "")
    twice = "INSERT INTO orders SELECT * FROM orders WHERE id = 9"
    done = compare([make(tmp_path / "a.db", create=create), make(tmp_path / "b.db", twice, create=create)])
    assert [issue["type"] for issue in issues(done, "breaking")] == ["extra_rows"]


def test_text_that_moves_over_a_column_border_is_seen(tmp_path: Path) -> None:
    for name, one, two in (("a.db", "p;=q", "r"), ("b.db", "p", "q;=r"), ("c.db", "", "x"), ("d.db", None, "x")):
        connection = sqlite3.connect(tmp_path / name)
        connection.execute("CREATE TABLE pairs (id INTEGER PRIMARY KEY, one TEXT, two TEXT)")
        connection.execute("INSERT INTO pairs VALUES (1, ?, ?)", (one, two))
        connection.commit()
        connection.close()
    assert compare([tmp_path / "a.db", tmp_path / "b.db"]).code == 2
    assert compare([tmp_path / "c.db", tmp_path / "d.db"]).code == 2  # NULL is not the empty text


def test_many_columns_fit_into_one_query(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(300)]
    for name in ("a.db", "b.db"):
        connection = sqlite3.connect(tmp_path / name)
        connection.execute(f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {', '.join(n + ' TEXT' for n in names)})")
        connection.execute(f"INSERT INTO wide VALUES (1, {', '.join(repr(n) for n in names)})")
        connection.commit()
        connection.close()
    assert compare([tmp_path / "a.db", tmp_path / "b.db"]).code == 0


def test_chunks_of_the_settings_are_taken(pair: List[Path]) -> None:
    done = check("--type", "data", "--before", pair[0], "--after", pair[1], "-f", "json", folder=pair[0].parent,
                 config={"chunking": {"orders": {"kind": "range", "size": 7}}})
    assert done.json["reconciliation"]["tables"][0]["chunks"] == 143


# What a profile says


def test_documents_are_valid_and_hold_no_text_of_a_row(pair: List[Path]) -> None:
    for side in both(pair):
        text = side.path.read_text()
        assert [str(problem) for problem in problems(json.loads(text), read_schema("data_profile"))] == []
        assert "order 7" not in text


def test_sums_of_few_rows_and_limits_of_personal_columns_are_not_told(tmp_path: Path) -> None:
    files = [make(tmp_path / f"{name}.db", rows=105) for name in "ab"]
    source = both(files, {**RANGES, "pii": ["orders.amount"]})[0]
    lines = json.loads(source.path.read_text())["lines"]
    names = ["amount", "at", "id", "name", "updated_at"]
    assert [line[6] is None for line in lines] == [False, True]
    assert dict(zip(names, lines[0][6]))["amount"][2:] == [None, None]


def test_a_salt_changes_every_hash_and_is_not_told(pair: List[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = json.loads(both(pair)[0].path.read_text())
    monkeypatch.setenv("RECONCILE_SALT", "pepper")
    sides = both(pair)
    salted = json.loads(sides[0].path.read_text())
    assert plain["salt_id"] is None and len(salted["salt_id"]) == 8 and "pepper" not in json.dumps(salted)
    assert plain["checksum"] != salted["checksum"]
    assert verdict(sides).code == 0
    assert compare([sides[0].path, pair[1]]).code == 3


# Merging and refusing


SHARDS = {**RANGES, "shards": {"orders": [300, 650]}}


def test_shards_merge_to_the_verdict_of_the_whole_table(pair: List[Path]) -> None:
    change(pair[1], "DELETE FROM orders WHERE id = 640")
    whole, parts = verdict(both(pair)), verdict(both(pair, SHARDS))
    assert parts.code == 2 and parts.json["issues"] == whole.json["issues"]


def test_a_shard_that_was_interrupted_is_missed_and_its_second_run_counts(pair: List[Path]) -> None:
    sides = both(pair, SHARDS)
    whole = verdict(sides)
    lines = sides[1].path.read_text().splitlines()
    assert len(lines) == 3
    sides[1].path.write_text("\n".join(lines[:2]) + "\n")
    assert "shard 3 of 3 is missing" in verdict(sides).err
    sides[1].path.write_text("\n".join([*lines[:2], lines[2][:80]]))
    assert (verdict(sides).code, "no whole JSON document" in verdict(sides).err) == (3, True)
    sides[1].path.write_text("\n".join([*lines, lines[1]]) + "\n")
    again = verdict(sides)
    assert (again.code, again.json["issues"]) == (whole.code, whole.json["issues"])


def double(body: Dict[str, Any]) -> None:
    body["lines"].append(body["lines"][0])


EDITS = {
    "a row count": lambda body: body["lines"][2].__setitem__(1, "99"),
    "the total": lambda body: body.__setitem__("row_count", "999"),
    "a checksum": lambda body: body["lines"][2].__setitem__(4, "5"),
    "a huge checksum": lambda body: body["lines"][2].__setitem__(4, str(2**80)),
    "a key range": lambda body: body["lines"][2].__setitem__(3, "1200"),
    "a chunk twice": double,
    "the spec": lambda body: body["spec"]["columns"].pop(),
    "values": lambda body: body["lines"][2][6][0].__setitem__(0, "101"),
    "a sum": lambda body: body["lines"][2][6][0].__setitem__(1, "99999999.00"),
    "a length": lambda body: body["lines"][2][6][3].__setitem__(2, "1"),
    "a form": lambda body: body["lines"].__setitem__(2, "x"),
    "a type": lambda body: body.__setitem__("lines", {}),
    "the version": lambda body: body.__setitem__("profile_version", 2),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_profile_that_was_edited_by_hand_is_refused(pair: List[Path], what: str) -> None:
    sides = both(pair)
    rewrite(sides[1], EDITS[what])
    done = verdict(sides)
    assert (done.code, done.out) == (3, "") and str(sides[1].path) in done.err


def test_facts_that_differ_under_equal_checksums_are_refused(pair: List[Path]) -> None:
    sides = both(pair)
    rewrite(sides[1], lambda body: body["lines"][2][6][0].__setitem__(1, "6237.75"))
    done = verdict(sides)
    assert done.code == 3 and "inconsistent_profile" in done.err


def test_profiles_of_other_specs_hashes_or_sides_are_refused(pair: List[Path]) -> None:
    first = both(pair)
    first[0].path = first[0].path.rename(first[0].path.with_suffix(".first"))
    for config in ({**RANGES, "hash": "sha256"}, {"chunking": {"orders": {"kind": "range", "size": 50}}}):
        second = both(pair, config)
        assert verdict(second).code == 0
        done = check("--type", "data", "--before", first[0].path, "--after", second[1].path)
        assert done.code == 3 and "spec_id" in done.err
    done = check("--type", "data", "--before", second[1].path, "--after", second[0].path)
    assert done.code == 3 and "swapped" in done.err


def test_what_is_no_profile_is_refused(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", "{\"profile_version\": 1}", "\xff", "null", "{"):
        path = tmp_path / "odd.json"
        path.write_bytes(text.encode("latin-1"))
        done = check("--type", "data", "--before", path, "--after", path)
        assert (done.code, done.out) == (3, "") and "odd.json" in done.err


# Settings


def test_an_excluded_column_does_not_count_and_is_listed(pair: List[Path]) -> None:
    change(pair[1], "UPDATE orders SET updated_at = '2025-01-01 00:00:00'")
    assert compare(pair).code == 2
    done = compare(pair, "--exclude", "updated_at")
    assert (done.code, [issue["type"] for issue in done.json["issues"]]) == (0, ["excluded_column"])
    assert check("--type", "data", "--before", pair[0], "--after", pair[1], config={"excluded": {"orders": ["up*"]}},
                 folder=pair[0].parent).code == 0


@pytest.mark.parametrize("pattern, said", [("updated_ad", "did you mean 'updated_at'"), ("id", "part of the key"),
                                           ("x.*", "no such column")])
def test_exclusions_that_cannot_be_meant_are_refused(pair: List[Path], pattern: str, said: str) -> None:
    done = compare(pair, "--exclude", pattern)
    assert done.code == 3 and said in done.err


def test_a_column_cannot_be_excluded_after_its_hashes_were_taken(pair: List[Path]) -> None:
    done = verdict(both(pair), "--exclude", "amount")
    assert done.code == 3 and "make the queries again" in done.err


def test_rows_outside_of_the_condition_do_not_count(pair: List[Path]) -> None:
    change(pair[1], "DELETE FROM orders WHERE id <= 100")
    done = check("--type", "data", "--before", pair[0], "--after", pair[1], "-f", "json",
                 config={"where": {"orders": "id > 100"}}, folder=pair[0].parent)
    assert done.code == 0 and done.json["reconciliation"]["tables"][0]["rows"] == {"source": 900, "target": 900}


def test_a_tolerance_covers_values_but_no_swapped_ones(tmp_path: Path) -> None:
    files = [make(tmp_path / "a.db", rows=999), make(tmp_path / "b.db", "UPDATE orders SET amount = amount + 0.001",
                                          create=CREATE.replace("DECIMAL(10,2)", "REAL"),
        rows=999)]
    assert compare(files).code == 2
    done = compare(files, "--tolerance", "0.01")
    assert (done.code, [issue["type"] for issue in done.json["issues"]]) == (0, ["within_tolerance"])
    change(files[1], "UPDATE orders SET amount = 25 WHERE id = 101; UPDATE orders SET amount = 25.25 WHERE id = 100;"
                     "UPDATE orders SET amount = 1 WHERE id = 150; UPDATE orders SET amount = 37.5 WHERE id = 4;")
    assert compare(files, "--tolerance", "0.0001").code == 2


@pytest.mark.parametrize("config", [
    {"exclude": {}}, {"hash": "sha1"}, {"where": {"order": "1=1"}}, {"max_lag_seconds": "1"},
    {"excluded": {"orders": "x"}},
    {"type_map": {"orders.at": {"kind": "moment"}}}, {"type_map": []}, {"chunking": {"orders": {"sise": 3}}}, [],
    {"chunking": {"orders": {"kind": "range"}}}, {"chunking": {"orders": {"kind": "hash", "digits": 9}}},
    {"where": {"orders": "no such"}}, {"watermark": {"orders": "name"}}, {"watermark": {"orders": "gone"}},
    {"type_map": {"orders.nam": {"kind": "text"}}},
])
def test_settings_that_cannot_be_used_are_named(pair: List[Path], config: Any) -> None:
    done = check("--type", "data", "--before", pair[0], "--after", pair[1], config=config, folder=pair[0].parent)
    assert (done.code, done.out) == (3, "") and ("reconciliation" in done.err or "syntax error" in done.err)


# Following up


def test_one_changed_row_is_named_and_repaired(pair: List[Path]) -> None:
    change(pair[1], "UPDATE orders SET name = 'damaged' WHERE id = 437; DELETE FROM orders WHERE id = 440;"
                    "INSERT INTO orders VALUES (5000, 'extra', 1, NULL, NULL)")
    sides = both(pair)
    assert follow(sides, verdict(sides))["step"] == "rows"
    said = verdict(sides).json["reconciliation"]["tables"][0]["follow_up"]
    assert said["keys"] == {"missing": ["440"], "extra": ["5000"], "different": ["437"]}
    plan = said["repair"]
    assert plan["status"] == "manual" and "DELETE" not in json.dumps(plan)
    change(pair[1], plan["staging"])
    rows = sqlite3.connect(pair[0]).execute(plan["source"]).fetchall()
    connection = sqlite3.connect(pair[1])
    connection.executemany(f"INSERT INTO _reconcile_orders VALUES ({','.join('?' * 5)})", rows)
    connection.commit()
    connection.close()
    done = subprocess.run([sys.executable, "-c", plan["target"], str(pair[1])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    left = issues(compare([sides[0].path, pair[1]]), "breaking")
    assert [(issue["type"], issue["chunks"]) for issue in left] == [("extra_rows", ["50"])]
    saved = sqlite3.connect(pair[1])
    assert saved.execute("SELECT name FROM _reconcile_saved_orders").fetchall() == [("damaged",)]
    assert saved.execute("SELECT id FROM _reconcile_extra_orders").fetchall() == [(5000,)]


def test_a_repair_leaves_generated_columns_to_the_target(tmp_path: Path) -> None:
    create = "CREATE TABLE sums (id INTEGER PRIMARY KEY, a INTEGER, twice INTEGER GENERATED ALWAYS AS (a * 2) STORED)"
    files = [tmp_path / "a.db", tmp_path / "b.db"]
    for path in files:
        rows = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) SELECT i, i FROM n"
        change(path, f"{create}; INSERT INTO sums (id, a) {rows};")
    change(files[1], "UPDATE sums SET a = 0 WHERE id = 7")
    sides = both(files, {"chunking": {"sums": {"kind": "range", "size": 100}}})
    follow(sides, verdict(sides))
    plan = verdict(sides).json["reconciliation"]["tables"][0]["follow_up"]["repair"]
    change(files[1], plan["staging"] + "INSERT INTO _reconcile_sums VALUES (7, 7)")
    done = subprocess.run([sys.executable, "-c", plan["target"], str(files[1])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sqlite3.connect(files[1]).execute("SELECT * FROM sums WHERE id = 7").fetchone() == (7, 7, 14)


def test_a_row_that_changed_since_it_was_seen_is_not_overwritten(pair: List[Path]) -> None:
    change(pair[1], "UPDATE orders SET name = 'damaged' WHERE id = 437")
    sides = both(pair)
    follow(sides, verdict(sides))
    plan = verdict(sides).json["reconciliation"]["tables"][0]["follow_up"]["repair"]
    change(pair[1], plan["staging"] + "UPDATE orders SET name = 'newer' WHERE id = 437")
    row = sqlite3.connect(pair[0]).execute(plan["source"]).fetchone()
    connection = sqlite3.connect(pair[1])
    connection.execute(f"INSERT INTO _reconcile_orders VALUES ({','.join('?' * 5)})", row)
    connection.commit()
    connection.close()
    done = subprocess.run([sys.executable, "-c", plan["target"], str(pair[1])], capture_output=True, text=True)
    assert done.returncode != 0
    assert sqlite3.connect(pair[1]).execute("SELECT name FROM orders WHERE id = 437").fetchone() == ("newer",)


def test_large_chunks_are_cut_into_sections_first(pair: List[Path]) -> None:
    change(pair[1], "UPDATE orders SET name = 'damaged' WHERE id IN (437, 439)")
    config = {"chunking": {"orders": {"kind": "range", "size": 500}}}
    files = [make(path.with_name("large_" + path.name), rows=3000) for path in pair]
    change(files[1], "UPDATE orders SET name = 'damaged' WHERE id IN (437, 2439, 2800)")
    sides = both(files, config)
    assert follow(sides, verdict(sides))["step"] == "sections"
    said = follow(sides, verdict(sides))
    assert (said["step"], said["chunks"]) == ("rows", ["87", "487", "560"])
    assert verdict(sides).json["reconciliation"]["tables"][0]["follow_up"]["keys"]["different"] == ["437", "2439",
                                                                                                    "2800"]


@pytest.mark.parametrize("damage, config, why", [
    ("UPDATE orders SET name = 'x' WHERE id < 60", {}, "load them again"),
    ("UPDATE orders SET name = 'x' WHERE id = 6", {"target_is_written": True}, "its rows may be newer"),
    ("UPDATE orders SET name = 'x' WHERE id = 6", {"excluded": {"orders": ["at"]}}, "would be left out"),
])
def test_repairs_that_would_do_harm_are_declined(pair: List[Path], damage: str, config: Dict[str, Any],
                                                 why: str) -> None:
    change(pair[1], damage)
    sides = both(pair, {**RANGES, **config})
    follow(sides, verdict(sides))
    said = verdict(sides, config=config).json["reconciliation"]["tables"][0]["follow_up"]["repair"]
    assert said["status"] == "declined" and why in said["why"] and "target" not in said


def test_a_systematic_cause_is_told_instead_of_a_drill_down(pair: List[Path]) -> None:
    change(pair[1], "UPDATE orders SET amount = amount * 100")
    said = compare(pair).json["reconciliation"]["tables"][0]["follow_up"]
    assert said["step"] == "none" and "systematic" in said["why"]


# Incremental passes and rows in flight


WATERMARK = {**RANGES, "watermark": {"orders": "updated_at"}}


def test_a_pre_pass_names_the_chunks_that_moved_and_only_these_are_profiled_again(pair: List[Path]) -> None:
    sides = both(pair, WATERMARK)
    assert verdict(sides).code == 0
    for path in pair:
        change(path, "UPDATE orders SET name = 'new', updated_at = '2025-01-01 00:00:00' WHERE id = 321;"
                     "DELETE FROM orders WHERE id = 850")
    for side in sides:
        side.run(side.queries["prepass"])  # type: ignore[attr-defined]
    done = verdict(sides)
    assert (done.code, [issue["type"] for issue in done.json["issues"]]) == (1, ["unverified_change"])
    assert follow(sides, done)["chunks"] == ["3", "8", "10"]  # of the last one, a single row, no watermark is told
    again = verdict(sides)
    assert [issue["type"] for issue in again.json["issues"]] == ["unverified_stale"] * 2  # a full pass is still to come
    assert "8 of 11 chunks" in again.json["issues"][0]["description"]


LIVE = {"max_lag_seconds": 60}


@pytest.mark.parametrize("later, code, kinds", [
    ("", 2, {"missing_rows"}),  # still missing, and the source did not move: confirmed
    ("INSERT INTO orders VALUES (1000, 'order 1000', 250.0, '2024-01-21 10:00:00', '2024-02-01 00:00:00')", 0, set()),
    # arrived
])
def test_rows_in_flight_are_confirmed_or_cleared_by_a_second_look(pair: List[Path], later: str, code: int,
                                                                  kinds: Any) -> None:
    change(pair[1], "DELETE FROM orders WHERE id = 1000")
    sides = both(pair)
    done = verdict(sides, config=LIVE)
    assert (done.code, {issue["type"] for issue in done.json["issues"]}) == (1, {"in_flight"})
    change(pair[1], later)
    assert follow(sides, done)["step"] == "recheck"
    again = verdict(sides, config=LIVE)
    assert (again.code, {issue["type"] for issue in again.json["issues"]}) == (code, kinds)


def test_without_a_maximum_lag_every_difference_is_breaking(pair: List[Path]) -> None:
    change(pair[1], "DELETE FROM orders WHERE id = 1000")
    assert compare(pair).code == 2


def test_sides_captured_too_far_apart_are_not_proved(pair: List[Path]) -> None:
    sides = both(pair)
    rewrite(sides[1], lambda body: body.__setitem__("captured_at", "2026-01-01T01:10:00Z"))
    done = verdict(sides, config=LIVE)
    assert (done.code, [issue["type"] for issue in done.json["issues"]]) == (1, ["unverified_moment"])


# Samples


def test_a_sample_alone_proves_little_and_finds_much(pair: List[Path]) -> None:
    sides = both(pair)
    for side in sides:
        side.path.write_text("")
        side.run(side.queries["sample"])  # type: ignore[attr-defined]
    done = verdict(sides)
    assert (done.code, [issue["type"] for issue in done.json["issues"]]) == (1, ["unverified_sample"])
    change(pair[1], "UPDATE orders SET name = 'x' WHERE id % 2 = 0")
    sides[1].run(sides[1].queries["sample"])  # type: ignore[attr-defined]
    done = verdict(sides)
    assert (done.code, done.json["issues"][0]["type"]) == (2, "sample_mismatch")


def test_sample_profiles_of_the_product_differ_as_they_were_made_to() -> None:
    done = compare([ASSETS / "data_profile_source.json", ASSETS / "data_profile_target.json"])
    assert [(issue["type"], issue["class"], issue["chunks"]) for issue in done.json["issues"]] == [
        ("missing_rows", "lost_tail", ["3"]), ("value_mismatch", "truncated_to_20", ["1"])]


def test_a_sample_of_one_side_beside_a_profile_of_the_other_proves_nothing(pair: List[Path]) -> None:
    sides = both(pair)
    sides[1].path.write_text("")
    sides[1].run(sides[1].queries["sample"])  # type: ignore[attr-defined]
    done = verdict(sides)
    assert (done.code, [issue["type"] for issue in done.json["issues"]]) == (2, ["table_missing"])


def test_sums_that_few_rows_hide_are_not_proved(tmp_path: Path) -> None:
    files = [make(tmp_path / "a.db", rows=5),
             make(tmp_path / "b.db", rows=5, create=CREATE.replace("DECIMAL(10,2)", "REAL"))]
    done = compare(files)
    assert (done.code, [issue["type"] for issue in done.json["issues"]]) == (1, ["unverified_column"])
    told = check("--type", "data", "--before", files[0], "--after", files[1], config={"min_rows": 1}, folder=tmp_path)
    assert told.code == 0


def test_text_of_a_verdict_speaks_of_data(pair: List[Path]) -> None:
    change(pair[1], "DELETE FROM orders WHERE id = 7")
    done = check("--type", "data", "--before", pair[0], "--after", pair[1], "-f", "text")
    assert "DIFFERENT: the target does not hold the data of the source" in done.out
    assert "orders: 1000 rows -> 999" in done.out and "missing (1): 7\n" in done.out


def test_functions_of_the_programs_are_those_of_the_checker() -> None:
    assert checker.SQLITE_FUNCTIONS in checker.sqlite_program("SELECT 1")


def test_queries_are_files_for_an_export_and_leave_nothing_open(pair: List[Path]) -> None:
    done = check("--before", pair[0], "--after", pair[1], "-f", "json", config=WATERMARK, folder=pair[0].parent)
    files = checker.reconciliation_files(done.json["reconciliation"])
    assert sorted(files)[:5] == [
        "source.sh", "source/001_orders_drill_down.sparksql.sql", "source/001_orders_drill_down.sqlite.py",
        "source/001_orders_prepass.sparksql.sql", "source/001_orders_prepass.sqlite.py"]
    assert len(files) == 2 * 2 * 4 + 2
    opened = {name: re.findall(r"(?<!\{)\{[a-z]+\}(?!\})", re.sub(r"'\{\"profile.*?(?<!')'(?!')", "", text))
              for name, text in files.items() if name.endswith(".sql")}
    assert {name: words for name, words in opened.items() if words} == {}
    assert all(text.count("(") == text.count(")") for name, text in files.items() if name.endswith(".sql"))


def test_a_report_of_many_tables_holds_the_profiles_and_the_export_all(tmp_path: Path) -> None:
    tables = {f"t{number}": {"columns": {"id": {"type": "integer", "primary_key": True}}} for number in range(40)}
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"dialect": "mysql", "tables": tables}))
    section = check("--before", path, "--after", path, "-f", "json").json["reconciliation"]
    assert {name for table in section["tables"] for name in table["queries"]["source"]["mysql"]} == {"profile"}
    assert any("left out" in text for text in section["how_to"])
    assert len(checker.reconciliation_files(section)) == 40 * 2 * 2 * 3 + 2


def test_a_profile_of_five_thousand_chunks_is_compared_in_seconds(tmp_path: Path) -> None:
    files = [make(tmp_path / f"{name}.db", rows=50000) for name in "ab"]
    sides = both(files, {"chunking": {"orders": {"kind": "range", "size": 10}}})
    start = time.process_time()
    assert verdict(sides).code == 0
    assert time.process_time() - start < 10


# What the files of other programs hold


def table(path: Path, create: str, rows: List[Any]) -> Path:
    """Return a file with one table and its rows."""
    connection = sqlite3.connect(path)
    connection.execute(create)
    connection.executemany(f"INSERT INTO t VALUES ({','.join('?' * len(rows[0]))})", rows)
    connection.commit()
    connection.close()
    return path


SAME_VALUES = [  # type here, value here, type there, value there
    ("DATETIME", "2024-01-01 10:00:00+02:00", "DATETIME", "2024-01-01T08:00:00Z"),
    ("DATETIME", "2024-01-01", "TIMESTAMP", "2024-01-01 00:00:00.000000"),
    ("DATETIME", "2024-01-01 10:00", "DATETIME", "2024-01-01 10:00:00"),
    ("TIMESTAMPTZ", "2024-01-01 10:00:00.5+00:00", "TIMESTAMPTZ", "2024-01-01 10:00:00.500Z"),
    ("TIME", "10:00", "TIME", "10:00:00.0"),
    ("DECIMAL(10,2)", "1.005", "DECIMAL(10,2)", 1.01),
    ("DECIMAL(10,2)", "-0.001", "DECIMAL(10,2)", 0),
    ("BOOLEAN", "f", "BOOLEAN", 0),
    ("BOOLEAN", "true", "BOOLEAN", 1),
    ("NUM", 1.5, "DECIMAL(10,2)", 1.5),  # the type that CREATE TABLE AS gives
    ("TEXT", "2024-01-01 10:00:00", "DATETIME", "2024-01-01 10:00:00"),
]


@pytest.mark.parametrize("here, one, there, other", SAME_VALUES)
def test_values_that_sqlite_writes_in_several_ways_are_equal(
    tmp_path: Path, here: str, one: Any, there: str, other: Any
) -> None:
    files = [table(tmp_path / name, f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {kind})", [(1, value), (2, None)])
             for name, kind, value in (("a.db", here, one), ("b.db", there, other))]
    done = compare(files)
    assert (done.code, done.json["reconciliation"]["tables"][0]["columns_compared"]) == (0, 2), done.json["issues"]
    change(files[1], "UPDATE t SET v = NULL")
    assert compare(files).code == 2


def test_texts_that_are_no_text_are_compared_by_their_bytes(tmp_path: Path) -> None:
    rows = [(n, f"x{n}", n) for n in range(20)]
    create = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, n INTEGER)"
    odd = ("UPDATE t SET v = CAST(X'61006262626262626262' AS TEXT) WHERE id = 1;"
           "UPDATE t SET v = CAST(X'61ff62' AS TEXT) WHERE id = 2; UPDATE t SET n = 'word' WHERE id = 3")
    files = [table(tmp_path / name, create, rows) for name in ("a.db", "b.db")]
    for path in files:
        change(path, odd)
    assert compare(files).code == 0
    change(files[1], "UPDATE t SET v = CAST(X'61fe62' AS TEXT) WHERE id = 2")
    assert compare(files).json["reconciliation"]["tables"][0]["follow_up"]["keys"]["different"] == ["2"]
    change(files[1], "UPDATE t SET v = CAST(X'61006262626262626263' AS TEXT) WHERE id = 1")
    assert compare(files).json["reconciliation"]["tables"][0]["follow_up"]["keys"]["different"] == ["1", "2"]


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        change(tmp_path / name, "PRAGMA encoding = 'UTF-16'; CREATE TABLE t (id INTEGER PRIMARY KEY)")
    done = compare([tmp_path / "a.db", tmp_path / "b.db"])
    assert done.code == 3 and "UTF-16" in done.err and "profile a copy in UTF-8" in done.err


def test_a_column_that_the_target_lacks_is_not_proved(pair: List[Path]) -> None:
    change(pair[1], "ALTER TABLE orders RENAME COLUMN name TO label")
    done = compare(pair)
    assert (done.code, [(issue["type"], issue["field_path"]) for issue in done.json["issues"]]) == (
        1, [("unverified_column", "tables.orders.columns.name")])
    assert compare(pair, "--exclude", "orders.name").code == 0
    for given in ({"orders.label": {"rename": "label"}, "orders.name": {"rename": "label"}},
                  {"orders.label": {"source_expr": "name"}}):
        config = {"type_map": {key: value for key, value in given.items() if value != {"rename": "label"}
                               or key == "orders.name"}}
        done = check("--type", "data", "--before", pair[0], "--after", pair[1], "-f", "json", config=config,
                     folder=pair[0].parent)
        assert (done.code, done.json["reconciliation"]["tables"][0]["columns_compared"]) == (0, 5), config


def test_digits_that_only_one_side_holds_are_said_not_to_be_compared(tmp_path: Path) -> None:
    files = [table(tmp_path / name, f"CREATE TABLE t (id INTEGER PRIMARY KEY, v DECIMAL(10,{digits}), f REAL)", rows)
             for name, digits, rows in (("a.db", 4, [(1, 1.2345, 0.1)]), ("b.db", 2, [(1, 1.23, 0.1)]))]
    done = compare(files)
    assert (done.code, [(issue["type"], issue["field_path"]) for issue in done.json["issues"]]) == (
        0, [("fewer_digits", "tables.t.columns.f"), ("fewer_digits", "tables.t.columns.v")])


# What the sums say of the damage


WIDE = ("CREATE TABLE t (id INTEGER{key}, name VARCHAR(60), nick VARCHAR(60), level INTEGER, at DATETIME, day DATE, "
        "ratio DOUBLE, blob_data BLOB)")
LABELS = [  # damage, rule, label, column
    ("UPDATE t SET name = nick, nick = name", "value_mismatch", "swapped_with_nick", "name"),
    ("UPDATE t SET name = nick, nick = name WHERE id % 3 = 0", "value_mismatch", "swapped_with_name", "nick"),
    ("UPDATE t SET at = datetime(at, '+1 hour') WHERE id % 7 = 0", "value_mismatch", "tz_shift_part_of_rows", "at"),
    ("UPDATE t SET nick = NULL", "value_mismatch", "nulled", "nick"),
    ("UPDATE t SET nick = NULL WHERE id % 5 = 0", "value_mismatch", "null_count_changed", "nick"),
    ("UPDATE t SET name = replace(name, 'ü', '\ufffd')", "value_mismatch", "encoding_replaced", "name"),
    ("UPDATE t SET ratio = round(ratio, 2)", "value_mismatch", "rounded_to_2", "ratio"),
    ("UPDATE t SET ratio = ratio * 1000", "value_mismatch", "unit_scale_1e3", "ratio"),
    ("UPDATE t SET ratio = abs(ratio)", "value_mismatch", "sign_lost", "ratio"),
    ("UPDATE t SET level = level + 1 WHERE id = 250", "value_mismatch", "value_changed", "level"),
    ("UPDATE t SET day = date(day, '-1 day')", "value_mismatch", "day_shift_-1d", "day"),
    ("UPDATE t SET day = date(day, '-1 day') WHERE id % 4 = 0", "value_mismatch", "day_shift_part_of_rows", "day"),
    ("UPDATE t SET blob_data = substr(blob_data, 1, 20)", "value_mismatch", "cut_to_20_bytes", "blob_data"),
    ("UPDATE t SET id = id + 10000", "missing_rows", "rows_under_other_keys", ""),
    ("UPDATE t SET id = -id; UPDATE t SET id = 1 - id", "value_mismatch", "rows_under_other_keys", ""),
]


def wide(path: Path, damage: str = "", key: str = " PRIMARY KEY") -> Path:
    rows = [(n, f"Müller {n:05} {n * n}", f"n{n % 50}", n * 31 % 5000 + 1, f"2024-03-{n % 27 + 1:02} 10:{n % 60:02}:00",
             f"2024-01-{n % 28 + 1:02}", (n * 7919 % 100003) / 997 - 40, bytes([n % 256]) * (n % 40 + 1))
            for n in range(400)]
    table(path, WIDE.format(key=key), rows)
    change(path, damage)
    return path


@pytest.mark.parametrize("damage, rule, label, column", LABELS)
def test_damage_is_named_by_its_sums(tmp_path: Path, damage: str, rule: str, label: str, column: str) -> None:
    done = compare([wide(tmp_path / "a.db"), wide(tmp_path / "b.db", damage)])
    found = {(issue["type"], issue["class"], issue["field_path"].partition("columns.")[2])
             for issue in issues(done, "breaking")}
    assert done.code == 2 and (rule, label, column) in found, found
    assert len(found) <= 2 + (label == "rows_under_other_keys"), found  # one cause is told in few words


def test_a_table_without_a_key_that_was_loaded_twice_is_told(tmp_path: Path) -> None:
    files = [wide(tmp_path / "a.db", key=""), wide(tmp_path / "b.db", "INSERT INTO t SELECT * FROM t", key="")]
    done = compare(files)
    assert [(issue["type"], issue["class"]) for issue in issues(done, "breaking")] == [
        ("duplicate_rows", "loaded_twice")]


def test_two_damages_of_one_table_are_told_each(tmp_path: Path) -> None:
    damage = ("UPDATE t SET name = substr(name, 1, 8) WHERE id < 100; UPDATE t SET at = datetime(at, '+1 hour') WHERE "
              "id >= 300; DELETE FROM t WHERE id = 150")
    found = issues(compare([wide(tmp_path / "a.db"), wide(tmp_path / "b.db", damage)]), "breaking")
    assert [(issue["class"], issue["field_path"], issue["chunks"]) for issue in found] == [
        ("rows_missing", "tables.t", ["1"]), ("tz_shift_+1h", "tables.t.columns.at", ["3"]),
        ("truncated_to_8", "tables.t.columns.name", ["0"])]


# From the report to the rows


def test_the_next_queries_are_exported_and_run_by_one_program_for_each_side(pair: List[Path], tmp_path: Path) -> None:
    change(pair[1], "UPDATE orders SET name = 'damaged' WHERE id = 437")
    folder = tmp_path / "export"
    done = check("--before", pair[0], "--after", pair[1], "--export", folder, config=RANGES, folder=tmp_path)
    assert done.code == 0, done.err
    paths = [tmp_path / "source.jsonl", tmp_path / "target.jsonl"]
    ask(folder / "reconcile", pair, paths)
    done = check("--type", "data", "--before", paths[0], "--after", paths[1], "-f", "text", "--export", folder / "look")
    assert done.code == 2 and f"look/source.sh DATABASE >> {paths[0]}" in done.out, done.out
    ask(folder / "look", pair, paths)
    again = check("--type", "data", "--before", paths[0], "--after", paths[1], "-f", "text", "--export",
                  folder / "look")
    assert "different (1): 437\n  repair: manual" in again.out, again.out
    assert sorted(path.name for path in (folder / "look" / "repair").iterdir()) == [
        "001_orders_read_me.txt", "001_orders_source.sql", "001_orders_staging.sql", "001_orders_target.py"]
    assert not list((folder / "look" / "source").iterdir())  # of the export before


def ask(folder: Path, databases: List[Path], paths: List[Path]) -> None:
    """Run the exported program of each side, append what it prints."""
    for role, database, path in zip(("source", "target"), databases, paths):
        done = subprocess.run([folder / f"{role}.sh", database], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with path.open("a") as file:
            file.write(done.stdout)


def test_a_file_looks_closer_by_itself_where_the_other_side_has_looked(pair: List[Path]) -> None:
    change(pair[1], "UPDATE orders SET name = 'damaged' WHERE id = 437")
    source = both(pair)[0]
    said = compare([source.path, pair[1]]).json["reconciliation"]["tables"][0]["follow_up"]
    assert (said["step"], list(said["queries"])) == ("rows", ["source"])
    source.run(said["queries"]["source"]["query"])
    said = compare([source.path, pair[1]]).json["reconciliation"]["tables"][0]["follow_up"]
    assert said["keys"]["different"] == ["437"]


def test_what_spark_prints_of_its_settings_is_skipped(pair: List[Path]) -> None:
    sides = both(pair)
    for side in sides:
        side.path.write_text("spark.sql.session.timeZone\tUTC\n" + side.path.read_text())
    assert verdict(sides).code == 0


def test_a_profile_with_an_agreement_of_another_form_is_refused(pair: List[Path]) -> None:
    sides = both(pair)
    for edit in (lambda spec: spec.pop("columns"), lambda spec: spec["columns"].append(1), lambda spec: spec.clear()):
        before = sides[1].path.read_text()

        def break_spec(body: Dict[str, Any], edit: Any = edit) -> None:
            edit(body["spec"])
            body["spec_id"] = checker.spec_digest(body["spec"])

        rewrite(sides[1], break_spec)
        done = verdict(sides)
        assert done.code == 3 and "spec" in done.err, done.err
        sides[1].path.write_text(before)
