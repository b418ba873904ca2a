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
            f"login_count, last_login_at, legacy_crm_id, created_at, updated_at) "
            f"VALUES ({n}, 'user{n}', 'u{n}@example.com', 'h', 'Name O''Brien {n}', {phone}, '{status}', 'en', {n}, {moment}, 'crm{n}', {moment}, {moment});",
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
