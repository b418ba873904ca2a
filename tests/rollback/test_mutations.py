"""Faults put into the generator on purpose: each is seen by the check that a reader would name first."""

import json
import types
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from running import SCRIPTS, execute

SOURCE = (SCRIPTS / "rollback_generator.py").read_text(encoding="utf-8")
SCRIPT = {
    "id": "001_expand_a",
    "rollback_script": "DROP TABLE a;",
    "validation_query": "SELECT to_regclass('a') IS NOT NULL;",
    "transactional": True,
}
PLAN: Dict[str, Any] = {
    "phases": [{"name": "expand", "scripts": [SCRIPT, {**SCRIPT, "id": "002_expand_b"}]}],
    "specification": {
        "rollback_triggers": [
            {"metric": "response_time_p95", "threshold": 160, "action": "automatic_rollback"},
            {"metric": "error_rate", "threshold": 0.01, "action": "automatic_rollback"},
        ]
    },
}
FACTS = {"executor_url": "http://127.0.0.1:9/"}
STUB = """#!/usr/bin/env bash
echo "$*" >>"$0.log"
for word; do file=$word; done
case $file in
  *.check.sql) if [ -e "$0.undone" ]; then echo f; else echo t; fi ;;
  *.rollback.sql) touch "$0.undone" ;;
  *) echo 0 ;;
esac
"""


class Made:
    """What a generator, whole or mutated, makes of the plan."""

    def __init__(self, source: str, folder: Path) -> None:
        made = types.ModuleType("mutated")
        exec(compile(source, "mutated", "exec"), made.__dict__)  # noqa: S102
        document = made.Document("plan.json", "", PLAN, "0" * 64)
        plan = made.read_plan(document)
        self.book = made.assemble(plan, None, FACTS, (document,))
        self.files: Dict[str, str] = made.export_files(plan, self.book, FACTS, None)
        self.folder = folder
        made.write_export(str(folder), self.files)

    @property
    def steps(self) -> List[Dict[str, Any]]:
        return [step for phase in self.book["rollback_phases"] for step in phase["steps"]]

    @property
    def rules(self) -> List[Dict[str, Any]]:
        groups = json.loads(self.files["prometheus.rules.json"])["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def calls(self) -> List[str]:
        """Run rollback.sh against a client that only writes down how it was called."""
        stub = self.folder / "psql"
        stub.write_text(STUB, encoding="utf-8")
        stub.chmod(0o755)
        execute([self.folder / "rollback.sh"], env={"DB": "x", "PSQL": str(stub)}, timeout=60)
        log = (self.folder / "psql.log").read_text(encoding="utf-8")
        return [line for line in log.splitlines() if line.endswith(".rollback.sql")]


def undoes_last_first(made: Made) -> bool:
    return [step["source_script_id"] for step in made.steps] == ["002_expand_b", "001_expand_a"]


def proves_each_undo(made: Made) -> bool:
    return all(step["verify"] and step["verify"][0]["expect"].startswith("f") for step in made.steps)


def speaks_in_seconds(made: Made) -> bool:
    return any(rule["expr"].endswith("> 0.16") for rule in made.rules)


def outlives_its_telemetry(made: Made) -> bool:
    return all("keep_firing_for" in rule for rule in made.rules if "trigger_id" in rule["labels"])


def misses_its_telemetry(made: Made) -> bool:
    return any(rule["expr"].startswith("absent(") for rule in made.rules)


def leaves_data_to_people(made: Made) -> bool:
    return not any(trigger["auto_execute"] for trigger in made.book["trigger_conditions"])


def wraps_the_file_in_one_transaction(made: Made) -> bool:
    return all(" -1 " in call for call in made.calls())


def stops_at_the_first_error(made: Made) -> bool:
    return all("ON_ERROR_STOP=1" in call for call in made.calls())


def paste_stops_at_the_first_error(made: Made) -> bool:
    return all("ON_ERROR_STOP=1" in step["client"] for step in made.steps)


MUTATIONS = [
    pytest.param(undoes_last_first, "in reversed(phase.scripts)", "in phase.scripts", id="order flipped"),
    pytest.param(proves_each_undo, 'if query and undo.strip() and strict else ()', "if False else ()", id="no verify"),
    pytest.param(speaks_in_seconds, '"0.95", scale=0.001', '"0.95", scale=1', id="milliseconds taken as seconds"),
    pytest.param(outlives_its_telemetry, '"keep_firing_for": KEEP_FIRING,', "", id="no keep_firing_for"),
    pytest.param(misses_its_telemetry, 'f"absent({', 'f"present({', id="no absent()"),
    pytest.param(leaves_data_to_people, 'return "changes schema or data"', 'return ""', id="data undone by a program"),
    pytest.param(wraps_the_file_in_one_transaction, "then one=-1; fi", "then one=; fi", id="no -1"),
    pytest.param(stops_at_the_first_error, '${2:+"$2"} -v ON_ERROR_STOP=1', '${2:+"$2"}', id="no ON_ERROR_STOP"),
    pytest.param(paste_stops_at_the_first_error, "'psql -X -q -v ON_ERROR_STOP=1 -d", "'psql -X -q -d", id="pasted"),
]


@pytest.mark.parametrize("check, find, put", MUTATIONS)
def test_fault_is_seen(check: Callable[[Made], bool], find: str, put: str, tmp_path: Path) -> None:
    assert find in SOURCE
    mutated = SOURCE.replace(find, put)
    if "changes schema" in find:  # the step must also look like a switch, else another rule holds it back
        mutated = mutated.replace('r"flag|traffic|route|weight"', 'r"."')
    assert check(Made(SOURCE, tmp_path / "whole"))
    assert not check(Made(mutated, tmp_path / "mutated"))
