"""A migration of the samples on a live database, stopped anywhere, and the exported rollback.sh that takes it back."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from running import ASSETS, EPOCH, SCRIPTS, Done, execute

SEED = """
INSERT INTO users (username, email, password_hash, full_name, phone, status, login_count, last_login_at, legacy_crm_id)
SELECT 'u' || g, 'u' || g || '@example.com', 'h', 'Full ' || g, CASE WHEN g % 3 = 0 THEN '+1' || g END,
  (ARRAY['active', 'suspended', 'deleted'])[1 + g % 3]::user_status, g,
  timestamp '2020-01-01' + g * interval '1 min', 'crm' || g
FROM generate_series(1, 40) AS g;
INSERT INTO user_profiles (user_id, bio, birth_date, marketing_consent, fax_number)
SELECT id, E'O''Brien \\\\ \\t', CASE WHEN id % 5 = 0 THEN '' ELSE '1990-01-' || lpad((1 + id % 28)::text, 2, '0') END,
  CASE WHEN id % 2 = 0 THEN true END, 'fax' || id FROM users;
INSERT INTO roles (name) SELECT 'r' || g FROM generate_series(1, 5) AS g;
INSERT INTO user_roles (user_id, role_id) SELECT id, 1 + id % 5 FROM users;
INSERT INTO sessions (user_id, token_hash, expires_at) SELECT id, 't' || id, now() + interval '1 day' FROM users;
INSERT INTO password_reset_tokens (token_hash, user_id) SELECT 'p' || id, id FROM users WHERE id % 7 = 0;
INSERT INTO audit_log (user_id, action, outcome) SELECT id, 'login', 'success' FROM users;
"""
WRITTEN_MEANWHILE = """
INSERT INTO users (username, email, password_hash, phone, status)
VALUES ('late', 'late@example.com', 'h', '+199', 'active');
INSERT INTO audit_log (user_id, action, outcome) SELECT id, 'signup', 'success' FROM users WHERE username = 'late';
"""
TABLES = ["users", "user_profiles", "roles", "user_roles", "sessions", "password_reset_tokens", "audit_log"]


class Kit(NamedTuple):
    """A plan, and the folder with the rollback.sh that was exported from it."""

    plan: Dict[str, Any]
    folder: Path

    @property
    def scripts(self) -> List[Dict[str, Any]]:
        return [script for phase in self.plan["phases"] for script in phase["scripts"]]

    def phase_of(self, applied: int) -> str:
        """Return the phase that had started when that many scripts had run."""
        return self.scripts[max(applied - 1, 0)]["phase"]

    def undo(self, database: str, *options: str, env: Optional[Dict[str, Optional[str]]] = None) -> Done:
        more = {"DB": database, "JOURNAL": str(self.folder / f"{Path(database).name}.journal"), "BACKOFF_SECONDS": "0"}
        return execute([self.folder / "rollback.sh", *options], env={**more, **(env or {})}, timeout=300)


def make(script: str, *arguments: Any) -> Done:
    return execute([sys.executable, SCRIPTS / f"{script}.py", *arguments], env={"SOURCE_DATE_EPOCH": EPOCH})


def kit_of(folder: Path, before: Any, after: Any, spec: Any, *options: str) -> Kit:
    """Check two documents, plan the migration and export its undo."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in (("before", before), ("after", after), ("spec", spec)):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    sides = ["--before", folder / "before.json", "--after", folder / "after.json", "--type", "database"]
    assert make("compatibility_checker", *sides, "-q", "-f", "json", "-o", folder / "report.json").code in (0, 1, 2)
    reported = ["-i", folder / "spec.json", "--compatibility", folder / "report.json", "-q", "-f", "json"]
    done = make("migration_planner", *reported, "-o", folder / "plan.json")
    assert done.code == 0, done.err
    return exported(folder, json.loads((folder / "plan.json").read_text(encoding="utf-8")), *options)


def exported(folder: Path, plan: Dict[str, Any], *options: str) -> Kit:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    wanted = ["-i", folder / "plan.json", "-q", "-f", "json", "-o", folder / "runbook.json", "--export", folder]
    done = make("rollback_generator", *wanted, *options)
    assert done.code == 0, done.err
    return Kit(plan, folder)


def sample(name: str) -> Any:
    return json.loads((ASSETS / name).read_text(encoding="utf-8"))


def journal(done: Done) -> List[Tuple[str, str]]:
    """Return (step, status) of each journal line that a run printed."""
    return [tuple(line.split("\t")[1:3]) for line in done.out.splitlines() if line.count("\t") >= 2]


def changed(done: Done) -> List[str]:
    return [step for step, status in journal(done) if status == "undone"]


def start(kit: Kit, database: str, reach: Dict[str, Any]) -> "subprocess.Popen[bytes]":
    """Start rollback.sh in a process group of its own, so that it can be killed with its client."""
    env = {**os.environ, "DB": database, "JOURNAL": str(kit.folder / f"{Path(database).name}.journal"), **reach}
    return subprocess.Popen(
        [kit.folder / "rollback.sh"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def psql_environment(admin: List[str]) -> Dict[str, Optional[str]]:
    """Return what rollback.sh needs to reach the server that the fixtures use."""
    return {"PSQL": admin[0], "PGUSER": admin[admin.index("-U") + 1]}


def shellcheck(*files: Path) -> str:
    return execute([shutil.which("shellcheck") or "shellcheck", *files]).out
