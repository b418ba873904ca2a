"""Each kind of injected damage is found, located to its chunks and classified, in each engine as target."""

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import pytest

from chain import Place, compare, issues, profiles, queries, report_of

ROWS = 2000
CONFIG = {"chunking": {"orders": {"kind": "range", "size": 100}},
          "type_map": {"orders.amount": {"kind": "decimal", "scale": 4}}}  # SQLite keeps it as TEXT, to be exact
HIT = "id >= 1000 AND id < 1300"  # chunks 10, 11, 12
CHUNKS = ["10", "11", "12"]
TYPES = {
    "postgresql": "id integer{key}, name varchar(60), note text, amount numeric(12,4), level integer, paid boolean, "
    "at timestamp(3)",
    "mysql": "id int{key}, name varchar(60), note text, amount decimal(12,4), level int, paid tinyint(1), at "
             "datetime(3)",
    "sqlite": "id INTEGER{key}, name VARCHAR(60), note TEXT, amount TEXT, level INTEGER, paid BOOLEAN, at DATETIME",
}


class Damage(NamedTuple):
    name: str
    sql: Dict[str, str]  # engine, or any -> the statement
    rule: str
    label: str
    column: str = ""
    chunks: Tuple[str, ...] = tuple(CHUNKS)


def anywhere(sql: str) -> Dict[str, str]:
    return {"any": sql}


def set_column(**expressions: str) -> Dict[str, str]:
    """Return the UPDATE of the rows that are hit: column__engine=expression, or column=expression for all engines."""
    statements = {}
    for name, expression in expressions.items():
        column, _, engine = name.partition("__")
        statements[engine or "any"] = f"UPDATE orders SET {column} = {expression} WHERE {HIT}"
    return statements


DAMAGES = (
    Damage("missing rows", anywhere(f"DELETE FROM orders WHERE {HIT} AND id % 7 = 0"), "missing_rows",
           "scattered_rows"),
    Damage("lost tail", anywhere("DELETE FROM orders WHERE id > 1750"), "missing_rows", "lost_tail", "",
           ("17", "18", "19", "20")),
    Damage("gap", anywhere(f"DELETE FROM orders WHERE {HIT}"), "missing_rows", "gap"),
    Damage("loaded twice", anywhere(f"INSERT INTO orders SELECT * FROM orders WHERE {HIT}"), "duplicate_rows",
           "loaded_twice"),
    Damage("double write", anywhere("INSERT INTO orders SELECT id + 10000, name, note, amount, level, paid, at FROM "
                                    "orders "
                                    "WHERE id < 50"), "extra_rows", "whole_chunk", "", ("100",)),
    Damage("NULL became empty", anywhere(f"UPDATE orders SET note = '' WHERE note IS NULL AND {HIT}"), "value_mismatch",
           "null_to_empty", "note"),
    Damage("truncated", set_column(name="substr(name, 1, 20)"), "value_mismatch", "truncated_to_20", "name"),
    Damage("UTF-8 read as latin1", set_column(
        name__postgresql="convert_from(convert_to(name, 'UTF8'), 'LATIN1')",
        name__mysql="CONVERT(BINARY CONVERT(name USING utf8mb4) USING latin1)",
        name__sqlite="replace(replace(name, 'ü', 'Ã¼'), 'ö', 'Ã¶')"), "value_mismatch", "encoding_double_utf8", "name"),
    Damage("letters became question marks", set_column(name="replace(replace(name, 'ü', '?'), 'ö', '?')"),
           "value_mismatch",
           "encoding_replaced", "name"),
    Damage("time zone", set_column(at__postgresql="at + interval '2 hours'", at__mysql="at + INTERVAL 2 HOUR",
                                   at__sqlite="strftime('%Y-%m-%d %H:%M:%f', at, '+2 hours')"), "value_mismatch",
           "tz_shift_+2h", "at"),
    Damage("cents became units", set_column(level="level * 100"), "value_mismatch", "unit_scale_1e2", "level"),
    Damage("rounded", set_column(amount="round(amount, 2)", amount__sqlite="printf('%.2f00', round(amount, 2))"),
           "value_mismatch", "rounded_to_2", "amount"),
    Damage("pressed into a smallint", set_column(level="CASE WHEN level > 32767 THEN 32767 ELSE level END"),
           "value_mismatch",
           "clipped", "level"),
    Damage("inverted", set_column(paid="NOT paid"), "value_mismatch", "inverted", "paid"),
    Damage("sign lost", set_column(amount="abs(amount)", amount__sqlite="ltrim(amount, '-')"), "value_mismatch",
           "sign_lost",
           "amount"),
    Damage("fractions cut", set_column(at__postgresql="date_trunc('second', at)",
                                       at__mysql="date_format(at, '%Y-%m-%d %H:%i:%s')",
                                       at__sqlite="substr(at, 1, 19)"), "value_mismatch", "fraction_cut", "at"),
    Damage("letter case", set_column(name="upper(name)"), "value_mismatch", "same_sums", ""),
)


def load(engine: str, key: bool = True) -> str:
    """Return the SQL of the clean table."""
    rows = ",\n".join(
        f"({n}, '{'Müller' if n % 3 else 'Schön'} {n:06} of a rather long street', "
        f"{'NULL' if n % 4 == 0 else repr('n' + str(n))}, "
        f"{quote(engine, f'{(n * 7919 % 90000) - 9000}.{n * n * 37 % 9973:04}')}, {n * 31 % 50000}, "
        f"{n % 3 % 2}{bool_of(engine)}, "
        f"'2024-03-{n % 27 + 1:02} {n % 23:02}:{n % 59:02}:07.{n % 997 + 1:03}')" for n in range(1, ROWS + 1))
    columns = TYPES[engine].format(key=" PRIMARY KEY" if key else "")
    tail = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if engine == "mysql" else ""
    return (f"{'SET NAMES utf8mb4;' if engine == 'mysql' else ''}CREATE TABLE clean ({columns}){tail};\nINSERT INTO "
            "clean VALUES\n"
            f"{rows};\nCREATE TABLE orders ({columns}){tail};\nINSERT INTO orders SELECT * FROM clean;\n")


def quote(engine: str, number: str) -> str:
    return f"'{number}'" if engine == "sqlite" else number


def bool_of(engine: str) -> str:
    return "::text::boolean" if engine == "postgresql" else ""


@pytest.mark.live
@pytest.mark.parametrize("target", ["postgresql", "mariadb", "sqlite"])
def test_damage_is_found_located_and_classified(
    request: pytest.FixtureRequest, new_sqlite: Any, target: str, tmp_path: Path
) -> None:
    here = Place("sqlite", new_sqlite(), tmp_path)
    there = Place(target, request.getfixturevalue(target), tmp_path)
    for place, key in ((here, True), (there, False)):
        done = place.database.apply(load(place.engine, key))
        assert done.code == 0 and "ERROR" not in done.err, done.err
    section = report_of(here, there, CONFIG)
    section["tables"] = [table for table in section["tables"] if table["table"] == "orders"]
    paths = profiles(section, here, there, tmp_path)
    assert compare(paths).code == 0, compare(paths).json["issues"]
    wrong: List[Any] = []
    for damage in DAMAGES:
        there.database.apply("DELETE FROM orders; INSERT INTO orders SELECT * FROM clean;")
        sql = damage.sql.get(there.engine, damage.sql.get("any", ""))
        done = there.database.apply(("SET NAMES utf8mb4;" if there.engine == "mysql" else "") + sql + ";")
        assert done.code == 0 and "ERROR" not in done.err, (damage.name, done.err)
        paths[1].write_text("".join(there.run(text) for text in queries(section, "target", there)), "utf-8")
        done = compare(paths)
        found = [(issue["type"], issue["class"], issue["field_path"].partition("columns.")[2], tuple(issue["chunks"]))
                 for issue in issues(done, "breaking")]
        expected = (damage.rule, damage.label, damage.column, damage.chunks)
        if done.code != 2 or found != [expected]:
            wrong.append((damage.name, done.code, found, expected))
    assert wrong == []


def profile_text(path: Path) -> Dict[str, Any]:
    return json.loads(path.read_text("utf-8"))
