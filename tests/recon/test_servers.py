"""Drill-down and repair on real servers, tables with awkward names, and what a server's profile tells of itself."""

import csv
import io
import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from chain import Place, check, compare, issues, profiles, report_of
from json_schema import problems, read_schema
from running import execute, program

pytestmark = pytest.mark.live
TABLE = {"postgresql": '"Order ""Items"', "mysql": '`Order "Items`'}
NAMES = {"postgresql": ('"select"', '"it\'s {x} %"', '"Größe"'), "mysql": ("`select`", "`it's {x} %`", "`Größe`")}
CONFIG = {"chunking": {'Order "Items': {"kind": "range", "size": 1000}}}
UTF8 = {"postgresql": "", "mysql": "SET NAMES utf8mb4;\n"}


def load(engine: str, rows: int = 3000) -> str:
    one, two, three = NAMES[engine]
    tail = " CHARACTER SET utf8mb4" if engine == "mysql" else ""
    values = ",\n".join(f"({n}, 'text; {n}', {n}.25, '2024-01-01 00:00:{n % 60:02}')" for n in range(rows))
    return (f"{UTF8[engine]}CREATE TABLE {TABLE[engine]} (id bigint PRIMARY KEY, {one} varchar(40), {two} "
            "numeric(10,2), "
            f"{three} timestamp{'(6)' if engine == 'postgresql' else ' NULL'}){tail};\n"
            f"INSERT INTO {TABLE[engine]} VALUES {values};\n")


def stage(place: Place, name: str, rows: List[List[str]]) -> None:
    """Load the selected rows into the staging table, as a person would."""
    values = ",".join("(" + ",".join("'" + cell.replace("'", "''") + "'" for cell in row) + ")" for row in rows)
    done = place.database.apply(f"{UTF8[place.engine]}INSERT INTO {name} VALUES {values};")
    assert done.code == 0 and "ERROR" not in done.err, done.err


def run_follow_up(done: Any, sides: List[Any], paths: List[Path]) -> Dict[str, Any]:
    said = done.json["reconciliation"]["tables"][0]["follow_up"]
    for place, path, role in zip(sides, paths, ("source", "target")):
        with path.open("a", encoding="utf-8") as file:
            file.write(place.run(said["queries"][role]["query"]))
    return said


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_differing_rows_are_found_and_repaired(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> None:
    make = request.getfixturevalue("new_postgresql" if engine == "postgresql" else "new_mariadb")
    places = [Place(engine, make(), tmp_path) for _ in range(2)]
    for place in places:
        done = place.database.apply(load(engine))
        assert done.code == 0 and "ERROR" not in done.err, done.err
    text, _, moment = NAMES[engine]
    places[1].database.apply(f"{UTF8[engine]}UPDATE {TABLE[engine]} SET {text} = 'damaged', {moment} = NULL WHERE id "
                             "= 1234;"
                             f"DELETE FROM {TABLE[engine]} WHERE id IN (1500, 1501);")
    paths = profiles(report_of(*places, config=CONFIG), *places, tmp_path)
    done = compare(paths)
    assert [issue["chunks"] for issue in issues(done, "breaking")] == [["1"]]
    assert run_follow_up(done, places, paths)["step"] == "rows"
    said = compare(paths).json["reconciliation"]["tables"][0]["follow_up"]
    assert said["keys"] == {"missing": ["1500", "1501"], "extra": [], "different": ["1234"]}
    plan = said["repair"]
    assert plan["status"] == "manual", plan
    places[1].database.apply(UTF8[engine] + plan["staging"])
    out = places[0].database.query(UTF8[engine] + plan["source"])
    rows = list(csv.reader(io.StringIO(out)))[1:] if engine == "postgresql" else [row.split("\t")
                                                                                  for row in out.splitlines()]
    stage(places[1], plan["staging"].split("CREATE TABLE ")[1].split(" AS ")[0], rows)
    done = places[1].database.apply(plan["target"])
    assert done.code == 0 and "ERROR" not in done.err, done.err
    assert compare([paths[0], again(places, tmp_path)]).code == 0


def again(places: List[Place], tmp_path: Path) -> Path:
    folder = tmp_path / "again"
    folder.mkdir()
    return profiles(report_of(*places, config=CONFIG), *places, folder)[1]


def test_documents_of_two_systems_are_reconciled_and_nothing_is_scripted(
    postgresql: Any, mariadb: Any, tmp_path: Path
) -> None:
    source, target = Place("postgresql", postgresql, tmp_path), Place("mysql", mariadb, tmp_path)
    postgresql.apply("CREATE TABLE a (id int PRIMARY KEY, t timestamptz, z inet); CREATE TABLE gone (id int);"
                     "INSERT INTO a VALUES (1, now(), '::1')")
    mariadb.apply("CREATE TABLE a (id int PRIMARY KEY, t timestamp(6) NULL, z varchar(40)); INSERT INTO a VALUES (1, "
                  "now(6), '::1')")
    done = check("--before", source.schema(), "--after", target.schema(), "-f", "json")
    report = done.json
    assert (done.code, report["migration_scripts"],
            [issue["type"] for issue in report["issues"]]) == (1, [], ["other_system"])
    assert any("gone" in entry["kind"] for entry in report["not_compared"])
    paths = profiles(report["reconciliation"], source, target, tmp_path)
    for path in paths:
        assert [str(problem) for problem in problems(json.loads(path.read_text()), read_schema("data_profile"))] == []
    found = compare(paths).json["issues"]
    assert [(issue["type"], issue["field_path"]) for issue in found] == [
        ("value_mismatch", "tables.a"), ("unverified_column", "tables.a.columns.z")]


def test_moments_of_fewer_digits_are_cut_or_rounded_as_the_server_does(postgresql: Any, mariadb: Any,
                                                                       tmp_path: Path) -> None:
    """MariaDB cuts what a column cannot hold, with TIME_ROUND_FRACTIONAL it rounds as MySQL and PostgreSQL do."""
    source, target = Place("postgresql", postgresql, tmp_path), Place("mysql", mariadb, tmp_path)
    moments = ["2024-01-01 10:00:00.499999", "2024-01-01 10:00:00.5", "2024-12-31 23:59:59.999999"]
    rows = "".join(f"INSERT INTO a VALUES ({n}, '{text}', '{text[11:]}');" for n, text in enumerate(moments))
    postgresql.apply(f"CREATE TABLE a (id int PRIMARY KEY, t timestamp, c time); {rows}")
    rounding = {"type_map": {"a.t": {"rounding": "round"}, "a.c": {"rounding": "round"}}}
    for mode, config in (("", {}), ("TIME_ROUND_FRACTIONAL", rounding)):
        mariadb.apply(f"SET sql_mode = '{mode}'; CREATE OR REPLACE TABLE a (id int PRIMARY KEY, t datetime, c time);"
                      + rows)
        done = compare(profiles(report_of(source, target, config), source, target, tmp_path))
        assert (done.code, {issue["type"] for issue in done.json["issues"]}) == (0, {"fewer_digits"}), mode


ODD_VALUES = """
    CREATE TABLE odd (id int PRIMARY KEY, day date, at timestamp, seen timestamptz, price numeric(12,2), n numeric,
      ratio float8, document jsonb);
    INSERT INTO odd SELECT i, date '2024-01-01' + i, timestamp '2024-01-01' + i * interval '1 hour',
      '2024-01-01 00:00+00', i, i * 0.01, i * 1.1, jsonb_build_object('n', i) FROM generate_series(1, 30) i;
    UPDATE odd SET day = 'infinity', at = '-infinity', seen = 'infinity' WHERE id = 3;
    UPDATE odd SET day = '0044-03-15 BC', at = '0044-03-15 BC', seen = '0044-03-15 BC' WHERE id = 4;
    UPDATE odd SET price = 'NaN', n = 'NaN', ratio = 'NaN' WHERE id = 5;
    UPDATE odd SET n = 'infinity', ratio = '-infinity' WHERE id = 6;
    UPDATE odd SET n = 1e100, ratio = 5e-324 WHERE id = 7;
    UPDATE odd SET ratio = '-0' WHERE id = 8;
"""


def test_values_that_only_postgresql_has_are_compared(new_postgresql: Any, tmp_path: Path) -> None:
    places = [Place("postgresql", new_postgresql(), tmp_path) for _ in range(2)]
    for place in places:
        done = place.database.apply(ODD_VALUES)
        assert done.code == 0, done.err
    section = report_of(*places)
    done = compare(profiles(section, *places, tmp_path))
    assert (done.code, [issue["field_path"] for issue in done.json["issues"]]) == (0, ["tables.odd.columns.ratio"])
    for change in ("day = '-infinity' WHERE id = 3", "at = '0044-03-15' WHERE id = 4", "price = 5 WHERE id = 5",
                   "n = '-infinity' WHERE id = 6", "document = '{\"n\": 8}' WHERE id = 9", "ratio = 0.5 WHERE id = 8"):
        places[1].database.apply(f"BEGIN; UPDATE odd SET {change}; COMMIT;")
        assert compare(profiles(section, *places, tmp_path)).code == 2, change
        places[1].database.apply(f"DROP TABLE odd; {ODD_VALUES}")


def test_exported_programs_ask_two_servers_with_one_salt(postgresql: Any, mariadb: Any, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    sides = [Place("postgresql", postgresql, tmp_path), Place("mysql", mariadb, tmp_path)]
    for place, number in zip(sides, ("numeric(10,2)", "decimal(10,2)")):
        rows = ",".join(f"({n}, 'text {n}', {n}.5)" for n in range(500))
        place.database.apply(f"CREATE TABLE t (id int PRIMARY KEY, v varchar(40), n {number});"
                             f"INSERT INTO t VALUES {rows}")
    mariadb.apply("UPDATE t SET v = 'damaged' WHERE id = 77")
    monkeypatch.setenv("RECONCILE_SALT", "it's \\ pep\"per")
    monkeypatch.setenv("PGUSER", postgresql.client[postgresql.client.index("-U") + 1])
    folder, paths = tmp_path / "export", [tmp_path / "source.jsonl", tmp_path / "target.jsonl"]
    done = check("--before", sides[0].schema(), "--after", sides[1].schema(), "--export", folder)
    assert done.code == 1 and not (folder / "apply.sh").exists(), done.err
    for programs in (folder / "reconcile", folder / "look"):
        for role, place, path in zip(("source", "target"), sides, paths):
            assert execute([program("shellcheck"), programs / f"{role}.sh"]).out == ""
            printed = execute([programs / f"{role}.sh", place.database.name])
            assert printed.code == 0, printed.err
            with path.open("a", encoding="utf-8") as file:
                file.write(printed.out)
        done = check("--type", "data", "--before", paths[0], "--after", paths[1], "-f", "json", "--export",
                     folder / "look")
        assert done.code == 2, done.err
    assert done.json["reconciliation"]["tables"][0]["follow_up"]["keys"]["different"] == ["77"]
    assert (folder / "look" / "repair" / "001_t_source.sql").read_text().startswith("COPY (SELECT ")
