"""What only an author can say: renames, conversions, values for the rows that exist; and documents written by hand."""

import json

import pytest

P = "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> ''));"
C = "CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES p (id)); CREATE VIEW v AS SELECT name FROM p;"
ROWS = "INSERT INTO p VALUES (1, 'a b'), (2, NULL); INSERT INTO c VALUES (1, 2);"

RENAMES = {
    "a column": (P.replace("name", "label") + C.replace("name", "label"), {"p.label": {"renamed_from": "name"}}),
    "a table": (
        P.replace("p (", "person (") + C.replace("p (id)", "person (id)").replace("FROM p", "FROM person"),
        {"person": {"renamed_from": "p"}},
    ),
    "a table and its column, and more": (
        "CREATE TABLE person (id INTEGER PRIMARY KEY, label BLOB CHECK (label <> ''), age INT); CREATE "
        "INDEX i ON person (label);"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES person (id)); CREATE VIEW v AS SELECT "
        "label FROM person;",
        {"person": {"renamed_from": "p"}, "person.label": {"renamed_from": "name"}},
    ),
}


@pytest.mark.parametrize("wanted, hints", RENAMES.values(), ids=RENAMES.keys())
def test_renames(bench, wanted, hints):
    migration = bench.migration(P + C + ROWS, wanted, hints)
    before = [migration.live.rows(f"SELECT * FROM {name}") for name in ("p", "c", "v")]
    migration.apply()
    assert not [name for _, name, _ in migration.live.schema() if name.startswith("_migration_archive")]
    again, code = bench.check(migration.live.path, bench.folder / "wanted.db")
    assert (again["migration_scripts"], code) == ([], 0)
    assert migration.live.rows("SELECT * FROM v ORDER BY 1 DESC") == [("a b",), (None,)]
    migration.undo()
    assert [migration.live.rows(f"SELECT * FROM {name}") for name in ("p", "c", "v")] == before


def test_a_conversion_by_the_authors_expression(bench):
    live = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, price TEXT); INSERT INTO t VALUES (1, '1.50'), (2, '0.07'), (3, NULL);"
    )
    migration = bench.migration(
        live,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, price INTEGER);",
        {"t.price": {"using": "CAST(round(price * 100) AS INTEGER)"}},
    )
    before = migration.live.everything()
    migration.apply()
    assert migration.live.rows("SELECT price FROM t") == [(150,), (7,), (None,)]
    migration.undo()
    assert migration.live.everything() == before


BACKFILLS = {
    "a new required column": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> ''), slug TEXT NOT NULL);",
        {"p.slug": {"backfill": "'p-' || id"}},
        "slug",
        [("p-1",), ("p-2",)],
    ),
    "NULLs of a column that becomes required": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT NOT NULL CHECK (name <> ''));",
        {"p.name": {"backfill": "'nobody'"}},
        "name",
        [("a b",), ("nobody",)],
    ),
}


@pytest.mark.parametrize("wanted, hints, column, values", BACKFILLS.values(), ids=BACKFILLS.keys())
def test_backfills(bench, wanted, hints, column, values):
    migration = bench.migration(P + "INSERT INTO p VALUES (1, 'a b'), (2, NULL);", wanted, hints)
    before = migration.live.everything()
    migration.apply()
    assert migration.live.rows(f"SELECT {column} FROM p ORDER BY id") == values
    migration.undo()
    assert migration.live.everything() == before


BY_HAND = {
    "dialect": "sqlite",
    "tables": {
        "p": {
            "columns": {
                "id": {"type": "int", "nullable": False, "primary_key": True},
                "name": {"type": "varchar", "length": 80, "default": "none"},
                "born": {"type": "datetime", "default": "CURRENT_TIMESTAMP"},
                "boss": {"type": "int", "references": "p(id)"},
            },
            "constraints": {"check": ["length(name) > 0"]},
            "indexes": [{"name": "p_name", "columns": ["name"], "unique": True}],
        }
    },
}
AS_MADE = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR (80) DEFAULT 'none' CHECK (length(name) > 0), "
    "born DATETIME DEFAULT CURRENT_TIMESTAMP, boss INTEGER REFERENCES p); CREATE UNIQUE INDEX p_name ON p (name);"
)


def by_hand(bench, **changes):
    path = bench.folder / "hand.json"
    path.write_text(json.dumps({**BY_HAND, "tables": {"p": {**BY_HAND["tables"]["p"], **changes}}}), encoding="utf-8")
    return path


def test_other_words_for_the_same_schema_are_no_change(bench):
    live = bench.database("live", AS_MADE)
    report, code = bench.check(live.path, by_hand(bench))
    assert (report["issues"], report["migration_scripts"], code) == ([], [], 0)


def test_a_document_by_hand_makes_its_tables(bench):
    live = bench.database("live", "")
    report, _ = bench.check(live.path, by_hand(bench))
    for script in report["migration_scripts"]:
        live.must(script["script_content"])
    assert bench.check(live.path, by_hand(bench))[0]["migration_scripts"] == []
    live.must("INSERT INTO p (name) VALUES ('a'); INSERT INTO p (boss) VALUES (1);")
    assert live.rows("SELECT id, name, boss FROM p") == [(1, "a", None), (2, "none", 1)]


def test_an_edited_export_counts_and_not_the_text_that_it_was_made_from(bench):
    live = bench.database("live", AS_MADE + "INSERT INTO p (name) VALUES ('a');")
    document = live.document()
    document["tables"]["p"]["columns"]["name"]["nullable"] = False
    document["tables"]["p"]["columns"]["age"] = {"type": "INT"}
    edited = bench.folder / "edited.json"
    edited.write_text(json.dumps(document), encoding="utf-8")
    report, _ = bench.check(live.path, edited)
    for script in report["migration_scripts"]:
        live.must(script["script_content"])
    assert bench.check(live.path, edited)[0]["migration_scripts"] == []
    assert live.run("INSERT INTO p (name) VALUES (NULL);").returncode != 0
