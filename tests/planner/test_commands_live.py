"""The commands that a plan names are run as they stand, only their placeholders filled, on a real server."""

import re
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from planning import example, make
from running import program

pytestmark = pytest.mark.live


def action(letter: str, title: str) -> str:
    phases = make(example(letter)).document["phases"]
    return next(item["action"] for phase in phases for item in phase["task_details"] if item["title"].startswith(title))


def proof(letter: str, title: str) -> str:
    phases = make(example(letter)).document["phases"]
    return next(item["done_when"] for phase in phases for item in phase["task_details"]
                if item["title"].startswith(title))


def filled(text: str, values: Dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match.group(1)], text)


def test_schema_is_loaded_in_two_steps_with_its_keys_first(new_postgresql: Callable[[], Any], tmp_path: Path) -> None:
    program("pg_restore")
    source, target = new_postgresql(), new_postgresql()
    assert source.apply(
        "CREATE TABLE a (id int PRIMARY KEY, b text); CREATE INDEX a_b ON a (b);"
        "CREATE TABLE c (id int PRIMARY KEY, a_id int REFERENCES a (id), code text UNIQUE);"
    ).code == 0
    user = source.client[source.client.index("-U") + 1]
    values = {"source_dsn": f"'dbname={source.name} user={user}'", "target_dsn": f"'dbname={target.name} user={user}'"}
    load, _, _ = action("B", "Create the schema").partition("; roles, extensions")
    load = load.replace("the keys, which replication needs from the start: ", "")
    kept = "SELECT contype, count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    counts = f"{kept} GROUP BY 1 ORDER BY 1"
    subprocess.run(["bash", "-ec", filled(load, values)], cwd=tmp_path, check=True)
    assert target.query(counts) == "p|2\nu|1"
    build = action("B", "Build 3 indexes").replace("ANALYZE;", "")
    subprocess.run(["bash", "-ec", filled(build, values)], cwd=tmp_path, check=True)
    assert target.query(counts) == source.query(counts) == "f|1\np|2\nu|1"
    assert target.query("SELECT count(*) FROM pg_class WHERE relname = 'a_b'") == "1"


def test_small_schema_change_runs_from_the_first_to_the_last_statement(postgresql: Any) -> None:
    assert postgresql.apply(
        "CREATE TABLE orders (id int PRIMARY KEY, shipping_country text NOT NULL);"
        "INSERT INTO orders SELECT i, 'DE' FROM generate_series(1, 1000) i;"
    ).code == 0
    for title in ("Add orders.region_code", "Build index"):
        assert postgresql.apply(action("A", title)).code == 0
    backfill = action("A", "Backfill").partition(" -- ")[0]
    batch = filled(backfill, {"key": "id"}).replace(":from", "1").replace(":to", "500")
    assert postgresql.apply(batch).code == 0
    left, differing = action("A", "Prove old and new").split("; ")
    assert (postgresql.query(left), postgresql.query(differing)) == ("500", "500")
    assert postgresql.apply(filled(backfill, {"key": "id"}).replace(":from", "501").replace(":to", "1000")).code == 0
    assert (postgresql.query(left), postgresql.query(differing)) == ("0", "0")
    assert postgresql.apply(action("A", "Enforce")).code == 0
    query, _, wanted = proof("A", "Enforce").partition(" returns ")
    assert postgresql.query(query) == wanted.replace(", ", "|") == "character varying|NO"
    valid, _, wanted = proof("A", "Build index").partition(" returns ")
    assert postgresql.query(valid) == wanted == "1"


def test_queries_of_the_checks_are_understood_by_the_server(postgresql: Any) -> None:
    """Every gate of example B that begins with SELECT, and the comparison of a table."""
    assert postgresql.apply("CREATE TABLE customers (id int); CREATE TABLE orders (id int); CREATE TABLE invoices (id "
                            "int)").code == 0
    document = make(example("B")).document
    asked = [gate["how"] for phase in document["phases"] for gate in phase["gates"] if gate["how"].startswith("SELECT")]
    asked += [action("B", f"Compare {name}") for name in ("customers", "orders", "invoices")]
    for text in asked:
        for statement in text.partition(" -- ")[0].split("; "):
            if statement.startswith("SELECT") and "{{" not in statement:
                assert postgresql.apply(statement + ";").code == 0, statement
