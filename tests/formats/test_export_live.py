"""apply.sh and rollback.sh on real servers: forward, killed and run again, back; locks, failures, manual entries."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from export_runs import Live, acknowledgements, build, export, sample

from running import execute

pytestmark = pytest.mark.live

SAMPLE_TABLES = ["users", "user_profiles", "roles", "user_roles", "sessions", "password_reset_tokens", "audit_log"]


def sample_rows(unknown: str, count: int = 40) -> str:
    """Return INSERTs that all three dialects take."""
    lines = ["INSERT INTO roles (name) VALUES ('reader'), ('writer');"]
    for n in range(1, count + 1):
        phone = f"'+49{n}'" if n % 3 else "NULL"
        status, moment = ("active", "suspended", "deleted")[n % 3], f"'2024-01-{n % 28 + 1:02} 10:00:00'"
        born, consent = ("NULL", f"'1990-01-{n % 28 + 1:02}'")[n % 2], (unknown, "TRUE")[n % 2]
        lines += [
            "INSERT INTO users (member_number, username, email, password_hash, full_name, phone, status, locale, "
            "login_count, last_login_at, legacy_crm_id, created_at, updated_at) "
            f"VALUES ({n}, 'user{n}', 'u{n}@example.com', 'h', 'Name O''Brien {n}', {phone}, '{status}', 'en', {n}, "
            f"{moment}, 'crm{n}', {moment}, {moment});",
            "INSERT INTO user_profiles (user_id, bio, birth_date, marketing_consent, fax_number) "
            f"VALUES ({n}, 'bio', {born}, {consent}, 'fax{n}');",
            f"INSERT INTO user_roles (user_id, role_id) VALUES ({n}, {1 + n % 2});",
            f"INSERT INTO password_reset_tokens (token_hash, user_id) VALUES ('{n:064}', {n});",
            f"INSERT INTO audit_log (id, user_id, action, details) VALUES ({n}, {n}, 'login', '{{}}');",
        ]
    return "\n".join(lines)


@pytest.fixture(params=["postgresql", "mysql", "sqlite"])
def live(request: pytest.FixtureRequest) -> Live:
    fixture = {"mysql": "mariadb"}.get(request.param, request.param)
    return Live(request.param, request.getfixturevalue(fixture))


def start(live: Live) -> None:
    if live.dialect == "sqlite":
        live.database.query("VACUUM;")  # apply.sh refuses a file that is not there


def prepared(live: Live, folder: Path) -> Dict[str, Any]:
    """Build the sample with its rows; return the report of its export to `folder`."""
    start(live)
    unknown = "FALSE" if live.dialect == "mysql" else "NULL"  # the others fill the NULLs of a column made required
    build(live, folder.parent / "build", sample(live.dialect, 0), sample_rows(unknown))
    return export(folder, live.document(), sample(live.dialect, 1), live.dialect)


def assert_arrived(live: Live, folder: Path) -> None:
    report = export(folder.parent / "again", live.document(), sample(live.dialect, 1), live.dialect)
    assert report["migration_scripts"] == [], report["issues"]


def canonical(document: Dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True)


def test_sample_goes_there_killed_on_the_way_and_back(live: Live, tmp_path: Path) -> None:
    """kill -9 at ten places forward and ten places back: the end is the same as if nothing had happened."""
    folder = tmp_path / "out"
    report = prepared(live, folder)
    assert not acknowledgements(report)
    first, held = live.document(), live.rows(SAMPLE_TABLES)
    steps = max(2, len(report["migration_scripts"]) // 10)
    while live.kill_after(folder, "apply.sh", steps) == steps:
        steps += max(2, len(report["migration_scripts"]) // 10)
    live.must(folder, "apply.sh")
    assert_arrived(live, folder)
    again = live.must(folder, "apply.sh")
    assert not re.search(r" > \d", again), "a finished migration was run again"
    for _ in range(10):
        live.kill_after(folder, "rollback.sh", max(2, len(report["migration_scripts"]) // 10))
    done = live.run(folder, "rollback.sh")
    assert done.code == 0 or "no journal" in done.err, done.out + done.err
    assert canonical(live.document()) == canonical(first)
    assert live.rows(SAMPLE_TABLES) == held
    assert "no journal" in live.run(folder, "rollback.sh").err


def test_phases_are_run_one_by_one_and_in_their_order(live: Live, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    report = prepared(live, folder)
    first = live.document()
    phases = {script["phase"] for script in report["migration_scripts"]}
    if "expand" in phases:
        refused = live.run(folder, "apply.sh", "--phase", "contract")
        assert refused.code == 1 and "--phase expand" in refused.err and canonical(live.document()) == canonical(first)
    for phase in ("expand", "migrate", "contract"):
        live.must(folder, "apply.sh", "--phase", phase)
    assert_arrived(live, folder)
    back = "expand" if live.dialect == "mysql" else "contract"  # the stages of a MariaDB table are undone together
    live.must(folder, "rollback.sh", "--phase", back)
    live.must(folder, "apply.sh")
    assert_arrived(live, folder)
    for phase in ("contract", "migrate", "expand"):
        if phase in phases:
            live.must(folder, "rollback.sh", "--phase", phase)
    assert canonical(live.document()) == canonical(first)


# Locks, failures, what a person must do, a journal that is wrong: on a small schema of two tables


def small(dialect: str, **columns: Any) -> Dict[str, Any]:
    fields = {"id": {"type": "integer", "nullable": False, "primary_key": True}, **columns}
    return {"dialect": dialect, "tables": {"one": {"columns": fields}, "two": {"columns": fields}}}


NOTE = {"note": {"type": "varchar(20)"}}
MORE = {"note": {"type": "varchar(20)"}, "extra": {"type": "integer"}}


@pytest.fixture
def added(live: Live, tmp_path: Path) -> Path:
    """Build two tables, and export the way to one column more in each."""
    start(live)
    rows = "".join(f"INSERT INTO {table} VALUES (1, 'a');" for table in ("one", "two"))
    build(live, tmp_path / "build", small(live.dialect, **NOTE), rows)
    export(tmp_path / "out", live.document(), small(live.dialect, **MORE), live.dialect)
    return tmp_path / "out"


def columns(live: Live) -> List[List[str]]:
    return [sorted(table["columns"]) for _, table in sorted(live.document()["tables"].items())]


def test_script_that_meets_a_lock_is_tried_again(live: Live, added: Path) -> None:
    holding = {
        "postgresql": "BEGIN; LOCK TABLE one; SELECT pg_sleep(6); COMMIT;",
        "mysql": "START TRANSACTION; SELECT * FROM one; DO SLEEP(6); COMMIT;",
        "sqlite": ".system sleep 0\nBEGIN IMMEDIATE;\n.system sleep 8\nCOMMIT;\n",
    }[live.dialect]
    for path in added.glob("*.sql"):  # the scripts' own patience would outlast the lock: the runner's is tried
        text = path.read_text("utf-8").replace("'120 s'", "'1 s'").replace("_tries > 300", "_tries > 2")
        path.write_text(text.replace("busy_timeout = 5000", "busy_timeout = 300"), encoding="utf-8")
    runner = (added / "apply.sh").read_text("utf-8")
    (added / "apply.sh").write_text(runner.replace(".timeout 10000", ".timeout 200"), encoding="utf-8")
    with subprocess.Popen(live.database.client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        holder.stdin.write(holding)
        holder.stdin.close()
        time.sleep(1)
        done = live.run(added, "apply.sh")
    assert done.code == 0, done.out + done.err
    assert "met a lock, try 1 of 30" in done.err
    assert columns(live) == [["extra", "id", "note"]] * 2


def test_patience_with_a_lock_ends(live: Live, added: Path) -> None:
    script = next(path for path in sorted(added.glob("*_expand_*.sql")) or sorted(added.glob("*.sql"))
                  if path.name.count(".") == 1)
    locked = {"postgresql": "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '55P03'; END $$;",
              "mysql": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205, MESSAGE_TEXT = 'x';",
              "sqlite": "SELECT * FROM one; SELECT 1 FROM 'database is locked';"}[live.dialect]
    script.write_text(locked, encoding="utf-8")
    done = live.run(added, "apply.sh", "--tries", "2")
    assert done.code == 1 and "try 1 of 2" in done.err
    assert columns(live)[0] == ["id", "note"]


def test_failure_stops_the_run_and_a_second_run_goes_on_there(live: Live, added: Path) -> None:
    scripts = [path for path in sorted(added.glob("*.sql")) if path.name.count(".") == 1]
    whole = scripts[-1].read_text("utf-8")
    scripts[-1].write_text("SELECT nonsense FROM nowhere;", encoding="utf-8")
    done = live.run(added, "apply.sh")
    assert done.code == 1 and f"{scripts[-1].name} failed; nothing after it was run" in done.err
    assert "nowhere" in done.err
    assert columns(live) == [["extra", "id", "note"], ["id", "note"]]
    scripts[-1].write_text(whole, encoding="utf-8")
    again = live.must(added, "apply.sh")
    assert again.count(" > ") == 1 and columns(live) == [["extra", "id", "note"]] * 2
    live.must(added, "rollback.sh")
    assert columns(live) == [["id", "note"]] * 2


def test_script_without_effect_is_noticed(live: Live, added: Path) -> None:
    script = next(path for path in sorted(added.glob("*.sql")) if path.name.count(".") == 1)
    script.write_text("SELECT 1;", encoding="utf-8")
    done = live.run(added, "apply.sh")
    assert done.code == 1 and "does not find its change" in done.err


def test_status_says_what_would_be_run_and_changes_nothing(live: Live, added: Path) -> None:
    first = live.document()
    said = live.must(added, "apply.sh", "--status").splitlines()
    assert said and all(line.startswith("to run  0") for line in said)
    assert canonical(live.document()) == canonical(first)
    live.must(added, "apply.sh")
    assert all(line.startswith("done    0") for line in live.must(added, "apply.sh", "--status").splitlines())
    assert len(live.must(added, "rollback.sh", "--status").splitlines()) == len(said)


def test_client_that_warns_is_understood(live: Live, added: Path, tmp_path: Path) -> None:
    """psql warns of another collation version at every connection, for one."""
    client = tmp_path / "warning_client"
    client.write_text(f'#!/bin/sh\necho "WARNING:  another version" >&2\nexec "{live.database.client[0]}" "$@"\n')
    client.chmod(0o755)
    for word in (" > ", "already there"):
        done = execute([added / "apply.sh", *live.arguments()], env={next(iter(live.environment())): str(client)})
        assert done.code == 0 and word in done.out, done.out + done.err


def test_change_made_by_hand_is_found(live: Live, added: Path) -> None:
    live.database.query("ALTER TABLE one ADD COLUMN extra integer;")
    assert "already there" in live.must(added, "apply.sh")
    assert columns(live) == [["extra", "id", "note"]] * 2


def test_undone_by_other_means_is_asked_about(live: Live, added: Path) -> None:
    live.must(added, "apply.sh")
    for table in ("one", "two"):
        live.database.query(f"ALTER TABLE {table} DROP COLUMN extra;")
    done = live.run(added, "apply.sh")
    assert done.code == 1 and "the journal and the database disagree" in done.err and "--trust checks" in done.err
    live.must(added, "apply.sh", "--trust", "checks")
    assert columns(live) == [["extra", "id", "note"]] * 2


def test_rollback_without_a_journal_wants_to_know_how_far(live: Live, added: Path) -> None:
    scripts = [path for path in sorted(added.glob("*.sql")) if path.name.count(".") == 1]
    for path in scripts:
        assert live.database.apply(path.read_text("utf-8")).code == 0
    refused = live.run(added, "rollback.sh")
    assert refused.code == 1 and "--from SCRIPT" in refused.err
    live.must(added, "rollback.sh", "--from", scripts[-1].stem)
    assert columns(live) == [["id", "note"]] * 2


def test_manual_entry_stops_everything_until_a_person_has_answered(live: Live, tmp_path: Path) -> None:
    start(live)
    build(live, tmp_path / "build", small(live.dialect, **NOTE), "")
    folder, needed = tmp_path / "out", {"note": NOTE["note"], "code": {"type": "integer", "nullable": False}}
    live.database.query("INSERT INTO one VALUES (1, 'a');")
    report = export(folder, {**live.document()}, small(live.dialect, **needed), live.dialect)
    assert acknowledgements(report)
    refused = live.run(folder, "apply.sh")
    assert refused.code == 1 and "nothing was run; open before the phase all" in refused.err
    assert ".txt, do what it says, then add: --acknowledge" in refused.err
    assert live.run(folder, "apply.sh", "--acknowledge", "999_nothing").code == 3
    live.must(folder, "apply.sh", *acknowledgements(report))
    live.must(folder, "apply.sh")


def test_unreachable_database_is_a_plain_error(live: Live, added: Path) -> None:
    done = execute([added / "apply.sh", "/nowhere/at/all" if live.dialect == "sqlite" else "ma_no_such_database"],
                   env=live.environment())
    assert done.code == 1 and ("cannot be reached" in done.err or "no such file" in done.err)
