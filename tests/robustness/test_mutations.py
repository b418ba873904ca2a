"""No mutated document makes a script fail: a verdict and valid JSON, or an error that says what is wrong."""

import json
import os
import random
from pathlib import Path
from typing import Any, List

import pytest
from mutations import mutate

import compatibility_checker as checker
import migration_planner as planner
import rollback_generator as rollback
from running import ASSETS

RUNS = int(os.environ.get("FUZZ_RUNS", "150"))  # of each kind; FUZZ_RUNS=20000 for a night
SMALL_SCHEMA = {
    "dialect": "postgresql",
    "tables": {
        "users": {
            "columns": {"id": {"type": "bigint", "identity": "always"}, "name": {"type": "varchar", "length": 9},
                        "kind": {"type": "mood", "nullable": False},
                        "n": {"type": "numeric", "precision": 9, "scale": 2}},
            "constraints": {"primary_key": ["id"], "unique": [["name"]], "check": ["n > 0"]},
            "indexes": [{"name": "i", "columns": ["name"], "where": "n > 1"}], "row_count": 7,
        },
        "orders": {"columns": {"id": {"type": "int", "primary_key": True},
                               "user_id": {"type": "bigint", "references": "users(id)"}}},
    },
    "enums": {"mood": ["sad", "ok"]}, "views": {"v": {"definition": "SELECT id FROM users"}},
}  # fmt: skip


def sample(name: str) -> Any:
    return json.loads((ASSETS / name).read_text(encoding="utf-8"))


def answers(script: Any, argv: List[str], output: Path, capfd: pytest.CaptureFixture[str]) -> int:
    """Run a script and return its exit code: one of the contract's, and nothing is half-written."""
    output.unlink(missing_ok=True)
    code = script.run(script.TOOL, script.main, [*argv, "-q", "-f", "json", "-o", str(output)])
    told = capfd.readouterr().err
    assert code in (0, 1, 2, 3), argv
    assert "internal error" not in told and "Traceback" not in told, told
    if output.exists():
        json.loads(output.read_text(encoding="utf-8"))
    else:
        assert code in (1, 3) and told
    return code


CHECKS = [
    pytest.param("database", "postgresql", lambda: (SMALL_SCHEMA, SMALL_SCHEMA), id="postgresql"),
    pytest.param("database", "mysql", lambda: (SMALL_SCHEMA, SMALL_SCHEMA), id="mysql"),
    pytest.param("database", "sqlite", lambda: (SMALL_SCHEMA, SMALL_SCHEMA), id="sqlite"),
    pytest.param("api", None, lambda: (sample("api_before.json"), sample("api_after.json")), id="api"),
    pytest.param("data", None, lambda: tuple(sample(f"data_profile_{side}.json") for side in ("source", "target")), id="data"),
]


@pytest.mark.parametrize("kind, dialect, documents", CHECKS)
def test_checker(kind: str, dialect: Any, documents: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before, after = documents()
    sides = tmp_path / "before.json", tmp_path / "after.json"
    options = ["--dialect", dialect] if dialect else []
    for seed in range(RUNS):
        chance = random.Random(f"{kind} {dialect} {seed}")
        made = [before, mutate(after, chance)] if chance.random() < 0.5 else [mutate(before, chance), after]
        for path, document in zip(sides, made):
            path.write_text(json.dumps(document), encoding="utf-8")
        argv = ["--before", str(sides[0]), "--after", str(sides[1]), "--type", kind, *options]
        answers(checker, argv, tmp_path / "out.json", capfd)


DOCUMENTS = [
    pytest.param(planner, "sample_database_migration.json", ["--simulations", "100"], id="database plan"),
    pytest.param(planner, "sample_service_migration.json", ["--simulations", "100"], id="service plan"),
    pytest.param(planner, "sample_infrastructure_migration.json", ["--simulations", "100"], id="infrastructure plan"),
    pytest.param(rollback, "expected/service_plan.json", [], id="runbook"),
]


@pytest.mark.parametrize("script, name, more", DOCUMENTS)
def test_planner_and_rollback(
    script: Any, name: str, more: List[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document, path = sample(name), tmp_path / "in.json"
    for seed in range(RUNS // 3):
        path.write_text(json.dumps(mutate(document, random.Random(f"{name} {seed}"))), encoding="utf-8")
        answers(script, ["-i", str(path), *more], tmp_path / "out.json", capfd)
