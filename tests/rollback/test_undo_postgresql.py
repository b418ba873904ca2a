"""The exported rollback.sh on a real PostgreSQL, from wherever the migration stopped."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

import pytest
from pg_live import apply, check, export, rows
from running import execute
from undo_live import (
    SEED,
    TABLES,
    WRITTEN_MEANWHILE,
    Kit,
    changed,
    exported,
    journal,
    kit_of,
    psql_environment,
    sample,
    start,
)

pytestmark = pytest.mark.live
SIDES = ("database_schema_before.json", "database_schema_after.json")


class Stage(NamedTuple):
    """The sample's database before the migration, what it held, and a way to get copies of it at any stage."""

    kit: Kit
    schema: str
    held: Dict[str, str]
    stopped_after: Callable[[int], Any]
    reach: Dict[str, Any]


def document(database: Any) -> str:
    return json.dumps(export(database), sort_keys=True)


def without_late(database: Any) -> Dict[str, str]:
    """Return the rows that stood there before, once the new ones are found and taken away."""
    assert database.query("SELECT count(*) FROM audit_log WHERE action = 'signup'") == "1"
    assert database.query("SELECT phone FROM users WHERE username = 'late'") == "+199"
    database.query("DELETE FROM audit_log WHERE action = 'signup'; DELETE FROM users WHERE username = 'late'")
    return rows(database, TABLES)


@pytest.fixture
def stage(new_postgresql: Any, postgresql_admin: List[str], tmp_path: Path) -> Iterator[Stage]:
    """Return the sample, seeded; stopped_after(n) is a copy of the database in which n scripts have run."""
    before, after = map(sample, SIDES)
    live = new_postgresql()
    apply(live, check(tmp_path, {"tables": {}}, before)["migration_scripts"], "script_content")
    live.query(SEED)
    kit = kit_of(tmp_path / "kit", export(live), after, sample("sample_database_migration.json"))
    schema, held = document(live), rows(live, TABLES)
    done = [0]
    copies = []

    def stopped_after(number: int) -> Any:
        apply(live, kit.scripts[done[0] : number], "script_content")
        done[0] = number
        name = f"{live.name}_{number}_{len(copies)}"
        copies.append(name)
        made = execute([*postgresql_admin, "-d", "postgres"], stdin=f"CREATE DATABASE {name} TEMPLATE {live.name}")
        assert made.code == 0, made.err
        client = [name if part == live.name else part for part in live.client]
        return type(live)(name, client, [*client, "-At"])

    yield Stage(kit, schema, held, stopped_after, psql_environment(postgresql_admin))
    for name in copies:
        execute([*postgresql_admin, "-d", "postgres"], stdin=f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def stops(kit: Kit) -> List[int]:
    """Return the numbers of scripts after which each phase stands in its middle, and at its end."""
    if os.environ.get("EVERY_STOP"):  # minutes: for a change of rollback.sh
        return list(range(int(os.environ["EVERY_STOP"]), len(kit.scripts) + 1))
    found = []
    for name in ("expand", "migrate", "contract"):
        numbers = [number for number, script in enumerate(kit.scripts, 1) if script["phase"] == name]
        found += [numbers[len(numbers) // 2], numbers[-1]]
    return found


def test_sample_comes_back_from_the_middle_and_the_end_of_each_phase(stage: Stage) -> None:
    """Schema as exported before, every old row as it was, new rows kept; a second run does nothing."""
    for number in stops(stage.kit):
        live = stage.stopped_after(number)
        live.query(WRITTEN_MEANWHILE)
        phase = stage.kit.phase_of(number)
        done = stage.kit.undo(live.name, "--from-phase", phase, env=stage.reach)
        assert done.code == 0, (number, done.out, done.err)
        assert document(live) == stage.schema, number
        assert without_late(live) == stage.held, number
        again = stage.kit.undo(live.name, "--from-phase", phase, env=stage.reach)
        assert (again.code, changed(again)) == (0, []), (number, again.out)
