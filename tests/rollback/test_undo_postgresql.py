"""The exported rollback.sh on a real PostgreSQL, from wherever the migration stopped."""

import json
import os
import signal
import subprocess
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
        first, _, last = os.environ["EVERY_STOP"].partition("-")
        return list(range(int(first), int(last or len(kit.scripts)) + 1))
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
        assert done.code == 0, (number, done.out[-900:], [line for line in done.err.splitlines() if "ERROR" in line])
        assert document(live) == stage.schema, number
        assert without_late(live) == stage.held, number
        again = stage.kit.undo(live.name, "--from-phase", phase, env=stage.reach)
        assert (again.code, changed(again)) == (0, []), (number, again.out)


def test_killed_between_steps_and_run_again(stage: Stage) -> None:
    """kill -9 of the whole group, again and again: the next run goes on where the last one was."""
    live = stage.stopped_after(len(stage.kit.scripts))
    live.query(WRITTEN_MEANWHILE)
    log = stage.kit.folder / f"{live.name}.journal"
    for undone in (2, 9, 20):
        running = start(stage.kit, live.name, stage.reach)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and running.poll() is None:
            if log.exists() and log.read_text(encoding="utf-8").count("\tundone\t") >= undone:
                break
            time.sleep(0.02)
        assert running.poll() is None, running.communicate()
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    done = stage.kit.undo(live.name, env=stage.reach)
    assert done.code == 0, (done.out[-900:], done.err[-1500:])
    assert document(live) == stage.schema
    assert without_late(live) == stage.held


def test_script_that_stopped_half_way_leaves_nothing(stage: Stage) -> None:
    """The foreign key is there and not validated: its query says no, and its undo runs all the same."""
    number = next(n for n, script in enumerate(stage.kit.scripts) if "user_roles_granted_by_fkey" in script["id"])
    live = stage.stopped_after(number)
    content = stage.kit.scripts[number]["script_content"]
    begun = content[: content.rindex("\n", 0, content.index("VALIDATE CONSTRAINT"))]
    begun = begun[: begun.rindex("DO $ma$")] if begun.count("DO $ma$") > begun.count("END $ma$;") else begun
    assert live.apply(begun).code == 0
    assert live.query("SELECT count(*) FROM pg_constraint WHERE NOT convalidated AND contype = 'f'") == "1"
    done = stage.kit.undo(live.name, "--from-phase", "expand", env=stage.reach)
    assert done.code == 0, (done.out[-900:], done.err[-900:])
    assert (document(live), rows(live, TABLES)) == (stage.schema, stage.held)


TINY = {
    "id": "001_expand_b",
    "phase": "expand",
    "script_type": "sql",
    "description": "Add b",
    "script_content": "ALTER TABLE t ADD b int;",
    "rollback_script": "SET lock_timeout = '300ms';\nBEGIN;\nALTER TABLE t DROP COLUMN IF EXISTS b;\nCOMMIT;",
    "validation_query": "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('t') AND attname = 'b'"
    " AND NOT attisdropped);",
    "transactional": True,
    "reversibility": "lossless",
}


def tiny(folder: Path, *options: str, **changes: Any) -> Kit:
    plan = {"migration_id": "abc", "phases": [{"name": "expand", "scripts": [{**TINY, **changes}]}]}
    return exported(folder, plan, *options)


@pytest.fixture
def reach(postgresql_admin: List[str]) -> Dict[str, Any]:
    return psql_environment(postgresql_admin)


@pytest.fixture
def table(postgresql: Any) -> Any:
    postgresql.query("CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t ADD b int; INSERT INTO t VALUES (1, 2)")
    return postgresql


def has_b(database: Any) -> bool:
    return database.query(TINY["validation_query"]) == "t"


def test_held_lock_has_its_own_exit_code_and_leaves_all_as_it_was(table: Any, reach: Any, tmp_path: Path) -> None:
    kit = tiny(tmp_path)
    holder = subprocess.Popen(table.client, stdin=subprocess.PIPE, text=True)
    try:
        holder.stdin.write("BEGIN; LOCK TABLE t IN ACCESS SHARE MODE;\n")
        holder.stdin.flush()
        locked = "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessShareLock' AND granted"
        while table.query(locked) == "0":
            time.sleep(0.05)
        held = kit.undo(table.name, env=reach)
        assert (held.code, has_b(table)) == (75, True), held
        assert [status for _, status in journal(held)].count("locked") == 3
    finally:
        holder.communicate("COMMIT;\n")
    assert kit.undo(table.name, env=reach).code == 0
    assert not has_b(table)


REFUSED = [
    pytest.param({"rollback_script": "ALTER TABLE t DROP COLUMN nowhere;"}, 70, id="a failing statement"),
    pytest.param({"rollback_script": "SELECT 1;"}, 71, id="an undo that changes nothing"),
    pytest.param({"rollback_script": "ALTER TABLE t DROP COLUMN {{column}};"}, 65, id="an open placeholder"),
    pytest.param({"reversibility": "lossy", "data_loss": "what b holds"}, 66, id="no approval for a loss"),
    pytest.param(
        {
            "rollback_script": "DO $$ BEGIN RAISE check_violation"
            " USING MESSAGE = 'b holds rows: nothing was changed'; END $$"
        },
        72,
        id="rows that would not survive",
    ),
]


@pytest.mark.parametrize("changes, code", REFUSED)
def test_what_cannot_be_undone_stops_with_its_own_code(
    table: Any, reach: Any, tmp_path: Path, changes: Dict[str, Any], code: int
) -> None:
    done = tiny(tmp_path, **changes).undo(table.name, env=reach)
    assert (done.code, has_b(table)) == (code, True), done
    assert done.err.count("rollback.sh:") == 1
    assert code == 65 or f"failed-{code}" in (tmp_path / f"{table.name}.journal").read_text(encoding="utf-8")


def test_first_error_of_an_undo_ends_it(table: Any, reach: Any, tmp_path: Path) -> None:
    """Without ON_ERROR_STOP psql would go on to the next statement and exit with 0."""
    kit = tiny(tmp_path, rollback_script="SELECT 1/0;\nALTER TABLE t DROP COLUMN b;", transactional=False)
    assert (kit.undo(table.name, env=reach).code, has_b(table)) == (70, True)


def test_undo_without_a_transaction_of_its_own_is_all_or_nothing(table: Any, reach: Any, tmp_path: Path) -> None:
    """A transactional script whose undo carries no BEGIN runs in one transaction."""
    kit = tiny(tmp_path, rollback_script="ALTER TABLE t DROP COLUMN b;\nSELECT 1/0;")
    assert (kit.undo(table.name, env=reach).code, has_b(table)) == (70, True)


def test_loss_is_undone_once_somebody_answers_for_it(table: Any, reach: Any, tmp_path: Path) -> None:
    kit = tiny(tmp_path, reversibility="lossy", data_loss="what b holds")
    done = kit.undo(table.name, env={**reach, "APPROVED_BY": "C. Owner"})
    assert (done.code, has_b(table)) == (0, False)
    assert "approved by C. Owner" in (tmp_path / f"{table.name}.journal").read_text(encoding="utf-8")


def test_dry_run_changes_nothing(table: Any, reach: Any, tmp_path: Path) -> None:
    done = tiny(tmp_path).undo(table.name, "--dry-run", env=reach)
    assert (done.code, has_b(table)) == (0, True)
    assert "would run sql/001_expand_b.rollback.sql" in done.out


def test_phase_that_did_start_is_not_left_out(table: Any, reach: Any, tmp_path: Path) -> None:
    """--from-phase names too early a phase: nothing is undone below a change that still stands on it."""
    scripts = [{**TINY, "id": "000_expand_t", "validation_query": "SELECT to_regclass('t') IS NOT NULL;"}]
    later = {"name": "contract", "scripts": [{**TINY, "phase": "contract"}], "dependencies": ["expand"]}
    kit = exported(tmp_path, {"migration_id": "abc", "phases": [{"name": "expand", "scripts": scripts}, later]})
    done = kit.undo(table.name, "--from-phase", "expand", env=reach)
    assert (done.code, has_b(table)) == (65, True)
    assert "--from-phase contract" in done.err


def test_one_phase_at_a_time_leaves_room_for_what_is_done_by_hand(table: Any, reach: Any, tmp_path: Path) -> None:
    """Between two phases a person throws a switch: --to-phase stops there, and the next call goes on."""
    table.query("ALTER TABLE t ADD c int")
    told = {"rollback_script": "ALTER TABLE t DROP COLUMN c;", "id": "002_contract_c", "phase": "contract"}
    told["validation_query"] = TINY["validation_query"].replace("'b'", "'c'")
    later = {"name": "contract", "scripts": [{**TINY, **told}], "dependencies": ["expand"]}
    kit = exported(tmp_path, {"migration_id": "abc", "phases": [{"name": "expand", "scripts": [TINY]}, later]})
    columns = "SELECT string_agg(attname, ',') FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 "
    seen = []
    for phase in ("contract", "expand"):
        done = kit.undo(table.name, "--from-phase", phase, "--to-phase", phase, env=reach)
        assert done.code == 0, done
        seen.append((journal(done)[-1][1], table.query(columns + "AND NOT attisdropped")))
    assert seen == [("paused", "id,b"), ("finished", "id")]
    assert kit.undo(table.name, "--from-phase", "expand", "--to-phase", "contract", env=reach).code == 64


def test_database_that_does_not_answer(table: Any, reach: Any, tmp_path: Path) -> None:
    assert tiny(tmp_path).undo(table.name + "_absent", env=reach).code == 69


def test_usage_errors(tmp_path: Path) -> None:
    kit = tiny(tmp_path)
    assert kit.undo("any", "--from-phase", "expnd").code == 64
    assert kit.undo("any", "--now").code == 64
    assert kit.undo("any", env={"DB": None, "PGDATABASE": None}).code == 64


def test_step_that_takes_too_long_is_cancelled_in_the_server(table: Any, reach: Any, tmp_path: Path) -> None:
    """The client that is ended must not leave its statement running."""
    kit = tiny(tmp_path, rollback_script="SELECT pg_sleep(60);", transactional=False)
    script = kit.folder / "rollback.sh"
    script.write_text(script.read_text(encoding="utf-8").replace(" sql 600 ", " sql 1 "), encoding="utf-8")
    done = kit.undo(table.name, env=reach)
    assert (done.code, has_b(table)) == (70, True), done
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
    )
    assert table.query(running) == "0"
