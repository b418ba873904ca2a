"""The same logical rows in PostgreSQL, MariaDB and SQLite have equal profiles, whichever side is which."""

import itertools
import json
import random
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from chain import Place, compare, issues, profiles, queries, report_of
from logical_rows import KINDS, create_sql, edge_rows, insert_sql, random_value

pytestmark = pytest.mark.live
TABLES = 200


def filled(request: pytest.FixtureRequest, folder: Path, sql: Dict[str, str]) -> Dict[str, Place]:
    """Return a database of each engine in which its SQL was run."""
    made = {}
    for engine, fixture in (("postgresql", "postgresql"), ("mysql", "mariadb"), ("sqlite", "sqlite")):
        database = request.getfixturevalue(fixture)
        done = database.apply(sql[engine])
        assert done.code == 0 and "ERROR" not in done.err, done.err
        made[engine] = Place(engine, database, folder)
    return made


def in_each(make: Any) -> Dict[str, str]:
    return {engine: make(engine) for engine in ("postgresql", "mysql", "sqlite")}


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Dict[str, Place]:
    """Return the edge table in each engine."""
    rows = edge_rows()
    return filled(request, tmp_path, in_each(
        lambda engine: create_sql(engine, "edges", list(KINDS)) + insert_sql(engine, "edges", rows)))


def test_edge_values_have_equal_profiles_in_all_engines(places: Dict[str, Place], tmp_path: Path) -> None:
    for source, target in itertools.permutations(places, 2):
        section = report_of(places[source], places[target])
        spec = section["tables"][0]["spec"]
        assert [column["name"] for column in spec["columns"]] == sorted(["id", *KINDS]), source
        assert spec["not_comparable"] == []
        done = compare(profiles(section, places[source], places[target], tmp_path))
        left = [issue["description"] for issue in issues(done, "breaking", "potentially_breaking")]
        assert (done.code, left) == (0, []), (source, target, done.err)
        assert done.json["reconciliation"]["tables"][0]["rows"] == {"source": len(edge_rows()),
                                                                    "target": len(edge_rows())}


CONFIGS: Tuple[Dict[str, Any], ...] = (
    {"chunking": {"edges": {"kind": "range", "size": 10}}, "watermark": {"edges": "local_at"}},
    {"chunking": {"edges": {"kind": "hash", "digits": 1}}, "hash": "sha256", "watermark": {"edges": "seen_at"}},
    {"chunking": {"edges": {"kind": "rows", "digits": 2}}},
    {"shards": {"edges": [0, 100]}, "chunking": {"edges": {"kind": "range", "size": 20}}},
)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_kind_of_query_gives_the_same_lines(places: Dict[str, Place], config: Dict[str, Any]) -> None:
    """Profiles by range, hash and row, shards, pre-passes and samples: line for line."""
    lines: Dict[str, List[Any]] = {}
    for source, target in (("postgresql", "mysql"), ("mysql", "sqlite")):
        section = report_of(places[source], places[target], config)
        section["tables"][0]["queries"]["source"][source].pop("drill_down")
        names = list(section["tables"][0]["queries"]["source"][source])
        for role, engine in (("source", source), ("target", target)):
            documents = [json.loads(places[engine].run(text)) for text in queries(section, role, places[engine], names)]
            found = [(body["content"], sorted(line[:6] for line in body["lines"])) for body in documents]
            assert all(rows for _, rows in found) and found == lines.setdefault(source, found)
    assert any(name.startswith("profile") for name in names)


def random_tables(seed: int) -> List[Tuple[str, List[Dict[str, Any]]]]:
    """Return clean tables of random columns and rows."""
    rng = random.Random(seed)
    tables = []
    for number in range(TABLES):
        names = rng.sample(sorted(KINDS), rng.randrange(1, 8))
        rows = [{name: random_value(rng, name) for name in names} for _ in range(rng.randrange(1, 40))]
        tables.append((f"t{number:03}", rows))
    return tables


def test_two_hundred_clean_tables_show_no_difference(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    tables = random_tables(8)
    made = filled(request, tmp_path, in_each(lambda engine: "".join(
        create_sql(engine, name, list(rows[0])) + insert_sql(engine, name, rows) for name, rows in tables)))
    for source, target in (("postgresql", "mysql"), ("postgresql", "sqlite"), ("mysql", "sqlite")):
        section = report_of(made[source], made[target])
        assert len(section["tables"]) == TABLES
        paths = []
        for role, engine in (("source", source), ("target", target)):
            texts = queries(section, role, made[engine])
            paths.append(tmp_path / f"{source}_{target}_{role}.jsonl")
            paths[-1].write_text(made[engine].run_all(texts), "utf-8")
        done = compare(paths)
        left = [issue["description"] for issue in issues(done, "breaking", "potentially_breaking")]
        assert [text for text in left if "in chunks of so few rows" not in text] == [], (source, target)
        assert len(done.json["reconciliation"]["tables"]) == TABLES
