"""The queries of `data_migrations`: they run before the first script, and count exactly the rows that need a look."""

import json
from pathlib import Path
from typing import Any, Dict, List

import compatibility_checker as checker
import pytest

pytestmark = pytest.mark.live

BEFORE = {
    "orders": {
        "columns": {
            "id": {"type": "int", "primary_key": True},
            "customer": {"type": "int"},
            "note": {"type": "varchar(20)"},
            "amount": {"type": "bigint"},
            "price": {"type": "numeric(12,4)"},
            "phone": {"type": "varchar(10)"},
        }
    },
    "customers": {"columns": {"id": {"type": "int", "primary_key": True}, "name": {"type": "varchar(10)"}}},
}
ROWS = """INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob');
INSERT INTO orders VALUES (1, 1, 'short', 5, 1.5, '1'), (2, 2, 'quite a long note', 3000000000, 123456.0, '1'),
  (3, 9, NULL, NULL, NULL, NULL), (4, NULL, 'x', -3000000000, 99.9949, NULL), (5, 1, 'y', 0, 99.9951, '2');"""


def orders(**columns: Any) -> Dict[str, Any]:
    """Return the tables with other columns of orders; None takes one away, `constraints` and such go to the table."""
    body = json.loads(json.dumps(BEFORE["orders"]))
    for name, column in columns.items():
        if name in ("constraints", "indexes", "renamed_from"):
            body[name] = column
        elif column is None:
            del body["columns"][name]
        else:
            body["columns"][name] = column
    return {**BEFORE, "orders": body}


UNIQUE_PHONE = {"unique": [["phone"]]}
PARENT = {"foreign_key": [{"columns": ["customer"], "references": "customers(id)"}]}
CASES = [
    pytest.param(orders(note={"type": "varchar(20)", "nullable": False, "backfill": "''"}), [1], id="NULLs"),
    pytest.param(orders(constraints=UNIQUE_PHONE), [1], id="duplicates, and NULLs are none"),
    pytest.param(orders(indexes=[{"name": "u", "columns": ["phone"], "unique": True}]), [1], id="unique index"),
    pytest.param(orders(constraints=PARENT), [1], id="orphans"),
    pytest.param(orders(constraints={"check": ["amount >= 0"]}), [1], id="violations"),
    pytest.param(orders(note={"type": "varchar(6)"}), [1], id="too long"),
    pytest.param(orders(amount={"type": "int"}), [2], id="too big for an integer"),
    pytest.param(orders(phone=None), [3], id="values of a dropped column"),
    pytest.param({"customers": BEFORE["customers"]}, [5], id="rows of a dropped table"),
    pytest.param(orders(extra={"type": "int"}, constraints={"unique": [["extra"]]}), [], id="key over a new column"),
    pytest.param(orders(extra={"type": "int"}, constraints={"check": ["extra > 0"]}), [], id="check of a new column"),
    pytest.param(
        orders(tel={"type": "varchar(10)", "renamed_from": "phone"}, phone=None, constraints={"unique": [["tel"]]}),
        [1],
        id="duplicates under the old name of the column",
    ),
    pytest.param(
        {
            "customers": BEFORE["customers"],
            "sales": {**orders(constraints=UNIQUE_PHONE)["orders"], "renamed_from": "orders"},
        },
        [1],
        id="duplicates under the old name of the table",
    ),
    pytest.param(
        {
            **orders(constraints={"foreign_key": [{"columns": ["customer"], "references": "people(id)"}]}),
            "people": {"columns": {"id": {"type": "int", "primary_key": True}}},
        },
        [4],
        id="orphans of a table that is yet to come",
    ),
]


def counts(database: Any, dialect: str, after: Dict[str, Any]) -> List[int]:
    """Return what the queries of the way to the after tables print on the database with its rows."""
    reports = []
    for sides in (({}, BEFORE), (BEFORE, after)):
        texts = [json.dumps({"tables": tables, "dialect": dialect}) for tables in sides]
        documents = [checker.Document("side.json", text, json.loads(text), "") for text in texts]
        reports.append(checker.compare_databases(*documents, checker.Options()))
    for step in reports[0].steps:
        assert database.apply(step.script_content).code == 0
    assert database.apply(ROWS).code == 0
    return [int(database.query(entry["count_query"])) for entry in reports[1].data_migrations]


@pytest.mark.parametrize("after, expected", CASES)
def test_rows_are_counted_on_postgresql(postgresql: Any, after: Dict[str, Any], expected: List[int]) -> None:
    assert counts(postgresql, "postgresql", after) == expected


@pytest.mark.parametrize("after, expected", CASES)
def test_rows_are_counted_on_mariadb(mariadb: Any, after: Dict[str, Any], expected: List[int]) -> None:
    assert counts(mariadb, "mysql", after) == expected


UNTYPED = [case for case in CASES if case.id not in ("too long", "too big for an integer")]


@pytest.mark.parametrize("after, expected", UNTYPED)
def test_rows_are_counted_on_sqlite(sqlite: Any, after: Dict[str, Any], expected: List[int]) -> None:
    """Types that narrow have no query here: SQLite keeps what a declared type cannot hold."""
    assert counts(sqlite, "sqlite", after) == expected


NUMERIC = [
    pytest.param("numeric(4,2)", [2], id="one fits only when it is rounded"),
    pytest.param("numeric(5,4)", [3], id="fewer digits before the point"),
]


@pytest.mark.parametrize("kind, expected", NUMERIC)
def test_numbers_are_counted_that_a_narrower_numeric_refuses(postgresql: Any, kind: str, expected: List[int]) -> None:
    """The server's own word is the reference: it takes what is left when the counted rows are gone."""
    assert counts(postgresql, "postgresql", orders(price={"type": kind})) == expected
    places = int(kind[-2])
    top = 10 ** (int(kind[8]) - places)
    rest = f"DELETE FROM orders WHERE abs(round(price, {places})) >= {top};"
    assert postgresql.apply(f"ALTER TABLE orders ALTER price TYPE {kind};").code != 0
    assert postgresql.apply(f"{rest} ALTER TABLE orders ALTER price TYPE {kind};").code == 0


def test_rows_of_a_removed_enum_value_are_counted_in_every_column(postgresql: Any) -> None:
    assert postgresql.apply(
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s'); CREATE TABLE a (m mood); CREATE TABLE b (x int, m mood);"
        "INSERT INTO a VALUES ('sad'), ('ok'), ('it''s'); INSERT INTO b VALUES (1, 'sad'), (2, NULL);"
    ).code == 0
    tables = {"a": {"columns": {"m": "mood"}}, "b": {"columns": {"x": "int", "m": "mood"}}}
    sides = [{"tables": tables, "enums": {"mood": values}} for values in (["sad", "ok", "it's"], ["ok"])]
    texts = [json.dumps(side) for side in sides]
    documents = [checker.Document("side.json", text, json.loads(text), "") for text in texts]
    found = checker.compare_databases(*documents, checker.Options()).data_migrations
    assert [(entry["count_query"], postgresql.query(entry["count_query"])) for entry in found] == [
        ("SELECT count(*) FROM public.a WHERE m::text IN ('sad', 'it''s');", "2"),
        ("SELECT count(*) FROM public.b WHERE m::text IN ('sad', 'it''s');", "1"),
    ]
