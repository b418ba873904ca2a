"""Drill-down and repair on real servers, tables with awkward names, and what a server's profile tells of itself."""

import csv
import io
import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from chain import Place, check, compare, issues, profiles, report_of
from json_schema import problems, read_schema

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


def test_moments_of_fewer_digits_are_rounded_as_the_servers_round(postgresql: Any, mariadb: Any,
                                                                  tmp_path: Path) -> None:
    """PostgreSQL and MariaDB round on insert; a copy that cuts the digits needs rounding: truncate."""
    source, target = Place("postgresql", postgresql, tmp_path), Place("mysql", mariadb, tmp_path)
    moments = ["2024-01-01 10:00:00.499999", "2024-01-01 10:00:00.5", "2024-12-31 23:59:59.999999"]
    postgresql.apply("CREATE TABLE a (id int PRIMARY KEY, t timestamp);"
                     + "".join(f"INSERT INTO a VALUES ({n}, '{text}');" for n, text in enumerate(moments)))
    for rounded, config in ((["2024-01-01 10:00:00", "2024-01-01 10:00:01", "2025-01-01 00:00:00"], {}),
                            ([text[:19] for text in moments], {"type_map": {"a.t": {"rounding": "truncate"}}})):
        mariadb.apply("CREATE OR REPLACE TABLE a (id int PRIMARY KEY, t datetime);"
                      + "".join(f"INSERT INTO a VALUES ({n}, '{text}');" for n, text in enumerate(rounded)))
        assert compare(profiles(report_of(source, target, config), source, target, tmp_path)).code == 0, config
