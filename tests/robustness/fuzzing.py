"""Runs of the three scripts in this process on mutated samples; each answers with what it did wrong, if anything."""

import gc
import io
import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import compatibility_checker as checker
import migration_planner as planner
import rollback_generator as rollback
from json_schema import Schema, problems, read_schema
from mutations import mutate, written
from running import ASSETS, EPOCH

SCRIPTS = {module.TOOL: module for module in (checker, planner, rollback)}
OUTPUT = {"compatibility_checker": "compatibility_report", "migration_planner": "migration_plan",
          "rollback_generator": "rollback_runbook"}
SECONDS = 60  # of one run: a hang, even on a busy machine
VALIDATED = 10  # one result of so many is held against its schema: that takes longer than most runs
FORMATS = {
    "compatibility_checker": ["json"] * 6 + ["text", "markdown", "sarif", "junit", "github"],
    "migration_planner": ["json"] * 6 + ["text", "markdown", "html"],
    "rollback_generator": ["json"] * 6 + ["text", "markdown", "html"],
}
SCHEMA = {
    "dialect": "postgresql",
    "tables": {
        "users": {
            "columns": {"id": {"type": "bigint", "identity": "always"}, "name": {"type": "varchar", "length": 9},
                        "kind": {"type": "mood", "nullable": False},
                        "n": {"type": "numeric", "precision": 9, "scale": 2, "default": 1, "comment": "c"}},
            "constraints": {"primary_key": ["id"], "unique": [["name"]], "check": ["n > 0"]},
            "indexes": [{"name": "i", "columns": ["name"], "where": "n > 1"}], "row_count": 7,
        },
        "orders": {"columns": {"id": {"type": "int", "primary_key": True},
                               "user_id": {"type": "bigint", "references": "users(id)"}}},
    },
    "enums": {"mood": ["sad", "ok"]}, "views": {"v": {"definition": "SELECT id FROM users"}},
}  # fmt: skip
CONFIG = {
    "reconciliation": {"excluded": {"users": ["n"]}, "type_map": {"users.name": {"kind": "text"}},
                       "where": {"users": "n > 1"}, "tolerances": {"users.n": {"abs": 0.1}}, "pii": ["name"],
                       "watermark": {"users": "id"}, "chunking": {"users": {"kind": "range", "size": 100}}},
    "rules": {"column_removed": "non_breaking"},
    "ignore": [{"rule": "column_added", "path": "tables.*", "reason": "agreed", "until": "2030-01-01"}],
}
HISTORY = {"records": [
    {"id": f"M-{number}", "date": "2025-03-01", "type": "database", "pattern": "expand_contract", "outcome": outcome,
     "planned_hours": 40, "actual_hours": 50, "factors": {"rehearsal": "full", "engine": "major", "volume_gb": 90}}
    for number, outcome in enumerate(("success", "rolled_back", "success"))]}


class Target(NamedTuple):
    """A script with the documents that it reads; the option in front of each path says which is which."""

    script: str
    name: str
    documents: Tuple[Tuple[str, Any], ...]
    more: Tuple[str, ...] = ()
    schema: Optional[str] = None


def sample(name: str) -> Any:
    return json.loads((ASSETS / name).read_text(encoding="utf-8"))


def targets() -> List[Target]:
    """Return every kind of run; the documents are small, so that a mutation hits something that matters."""
    changed = json.loads(json.dumps(SCHEMA))
    changed["tables"]["users"]["columns"].update(name={"type": "text"}, age={"type": "int", "backfill": "1"})
    del changed["tables"]["users"]["columns"]["n"], changed["tables"]["users"]["constraints"]["check"]
    schemas = (("--before", SCHEMA), ("--after", changed))
    apis = tuple((f"--{side}", sample(f"api_{side}.json")) for side in ("before", "after"))
    profiles = tuple((f"--{side}", sample(f"data_profile_{role}.json"))
                     for side, role in (("before", "source"), ("after", "target")))
    small = sample("examples/a_small_schema_change.json")
    report, _ = answer("compatibility_checker", schemas, ("-f", "json"))
    fast = ("--simulations", "100")
    database = Target("migration_planner", "report", (("--input", small), ("--compatibility", report)), fast)
    plans = [answer(target.script, target.documents, (*target.more, "-f", "json"))[0] for target in (
        database, Target("", "", (("--input", sample("sample_service_migration.json")),), fast)._replace(
            script="migration_planner"))]
    return [
        *(Target("compatibility_checker", dialect, schemas, ("--dialect", dialect))
          for dialect in ("postgresql", "mysql", "sqlite")),
        Target("compatibility_checker", "config", (*schemas, ("--config", CONFIG))),
        Target("compatibility_checker", "api", apis, ("--type", "api")),
        Target("compatibility_checker", "data", profiles, ("--type", "data")),
        database,
        Target("migration_planner", "history", (("--input", small), ("--history", HISTORY)), fast),
        *(Target("migration_planner", name, (("--input", sample(name)),), (*fast, "--start", "2026-03-02T09:00"))
          for name in ("sample_database_migration.json", "sample_service_migration.json",
                       "sample_infrastructure_migration.json")),
        Target("rollback_generator", "database plan", (("--input", plans[0]),
                                                       ("--inventory", sample("sample_inventory.json")))),
        Target("rollback_generator", "service plan", (("--input", plans[1]),)),
    ]


class Stream(io.TextIOWrapper):
    """A standard stream that keeps what was written."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode("utf-8", "replace")


def called(script: str, argv: Sequence[str]) -> Tuple[int, str, str]:
    """Run a script in this process; return exit code, standard output and standard error."""
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err = Stream(), Stream()
    try:
        code = SCRIPTS[script].run(script, SCRIPTS[script].main, list(argv))
    finally:
        sys.stdout, sys.stderr = kept
    return code, out.text(), err.text()


def answer(script: str, documents: Any, more: Sequence[str]) -> Tuple[Any, int]:
    """Return what a script says to whole documents, as JSON."""
    folder = Path(os.environ["FUZZ_FOLDER"])
    argv = list(more)
    for option, document in documents:
        path = folder / f"{option.strip('-')}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        argv += [option, str(path)]
    code, out, err = called(script, argv)
    assert code in (0, 1, 2), err
    return json.loads(out), code


def fault_of(script: str, chosen: str, code: int, out: str, err: str, schema: Optional[Schema]) -> str:
    """Return what is wrong with an answer, or nothing."""
    if code not in (0, 1, 2, 3) or "internal error" in err or "Traceback" in err:
        return f"exit code {code}: {err}"
    if code == 3 and not err.strip():
        return "exit code 3 without a word"
    if chosen == "json" and (code in (0, 2) or code == 1 and out):
        try:
            value = json.loads(out)
        except ValueError as error:
            return f"no JSON: {error}"
        wrong = next(problems(value, schema), None) if schema else None
        return f"not valid: {wrong}" if wrong else ""
    return ""


def too_long(*_: Any) -> None:
    raise TimeoutError(f"no end after {SECONDS} s")


def fuzz(script: str, first: int, last: int, folder: str) -> Dict[str, Any]:
    """Run a script on the mutations of some seeds; return how many runs there were, the codes, and the faults."""
    os.environ.update(FUZZ_FOLDER=folder, SOURCE_DATE_EPOCH=EPOCH)
    signal.signal(signal.SIGALRM, too_long)
    mine = [target for target in targets() if target.script == script]
    schema = read_schema(OUTPUT[script])
    codes: Dict[int, int] = {}
    faults: List[str] = []
    for seed in range(first, last):
        target = mine[seed % len(mine)]
        chance = random.Random(f"{target.name} {seed}")
        chosen = chance.choice(FORMATS[script])
        argv = write_inputs(target, chance, Path(folder)) + [*target.more, "-f", chosen]
        signal.alarm(SECONDS)
        try:
            code, out, err = called(script, argv)
            wrong = fault_of(script, chosen, code, out, err, None if seed % VALIDATED else schema)
        except BaseException as error:  # whatever leaves a script is a fault of it
            code, wrong = -1, "".join(traceback.format_exception(type(error), error, error.__traceback__)[-3:])
        signal.alarm(0)
        codes[code] = codes.get(code, 0) + 1
        if wrong:
            faults.append(f"{script}, {target.name}, seed {seed}: {wrong[:400]}")
        if seed % 200 == 0:
            gc.collect()  # the checker switches the collector off for its one run
    return {"runs": last - first, "codes": codes, "faults": faults}


def write_inputs(target: Target, chance: random.Random, folder: Path) -> List[str]:
    """Write the documents of a run, one of them mutated, and return the options that name them."""
    argv: List[str] = []
    hit = chance.randrange(len(target.documents))
    for place, (option, document) in enumerate(target.documents):
        path = folder / f"{option.strip('-')}.json"
        data = written(mutate(document, chance), chance) if place == hit else json.dumps(document).encode()
        path.write_bytes(data)
        argv += [option, str(path)]
    return argv


def reproduce(script: str, seed: int, folder: str) -> None:
    """Run one seed again; the place of the error is told.

    export PYTHONPATH=scripts:tests:tests/robustness
    python3 -c 'import fuzzing; fuzzing.reproduce("rollback_generator", 7, "/tmp")'
    """
    os.environ.update(MIGRATION_ARCHITECT_DEBUG="1")
    print(fuzz(script, seed, seed + 1, folder))


