"""The same logical rows in PostgreSQL, MariaDB and SQLite have equal profiles, whichever side is which."""

import itertools
from pathlib import Path
from typing import Any, Dict

import pytest

from chain import Place, compare, issues, profiles, report_of
from logical_rows import KINDS, create_sql, edge_rows, insert_sql

pytestmark = pytest.mark.live


@pytest.fixture
def places(postgresql: Any, mariadb: Any, sqlite: Any, tmp_path: Path) -> Dict[str, Place]:
    """Return the edge table in each engine."""
    made = {}
    for engine, database in (("postgresql", postgresql), ("mysql", mariadb), ("sqlite", sqlite)):
        sql = create_sql(engine, "edges", list(KINDS)) + insert_sql(engine, "edges", edge_rows())
        done = database.apply(sql)
        assert done.code == 0 and "ERROR" not in done.err, done.err
        made[engine] = Place(engine, database, tmp_path)
    return made


def test_edge_values_have_equal_profiles_in_all_engines(places: Dict[str, Place], tmp_path: Path) -> None:
    for source, target in itertools.permutations(places, 2):
        section = report_of(places[source], places[target])
        assert [column["name"] for column in section["tables"][0]["spec"]["columns"]] == sorted(["id", *KINDS]), source
        assert section["tables"][0]["spec"]["not_comparable"] == []
        done = compare(profiles(section, places[source], places[target], tmp_path))
        assert (done.code, issues(done, "breaking", "potentially_breaking")) == (0, []), (source, target, [issue["description"] for issue in issues(done)], done.err)
        assert done.json["reconciliation"]["tables"][0]["rows"] == {"source": len(edge_rows()), "target": len(edge_rows())}
