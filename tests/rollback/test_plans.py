"""Plans of every shape, made by chance: what holds for the runbook of any of them, and what names a damaged one."""

import json
import random
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
import rollback_generator as rollback
from json_schema import problems, read_schema
from running import ASSETS

ENGINES = ("PostgreSQL", "MySQL", "MariaDB", "SQLite", "Oracle", "")
CHECKS = {
    "PostgreSQL": "SELECT to_regclass('public.{0}') IS NOT NULL;",
    "MySQL": "SELECT count(*) FROM information_schema.tables WHERE table_name = '{0}' -- `",
    "SQLite": "SELECT count(*) FROM sqlite_master WHERE name = '{0}';",
}
NAMES = sorted({name.split(".")[-1] for name in rollback.PHASE_ACTIONS})
PATTERNS = ("", *sorted({name.split(".")[0] for name in rollback.PHASE_ACTIONS if "." in name}), "cdc", "canary")
SEEDS = range(60)


def some_script(chance: random.Random, number: int, phase: str, dialect: str) -> Dict[str, Any]:
    kind = chance.choice(["sql", "sql", "sql", "manual", "api"])
    lossy = chance.random() < 0.15
    return {
        "id": f"{number:03d}_{phase}",
        "phase": phase,
        "script_type": kind,
        "description": f"Change {number}",
        "rollback_script": chance.choice(["", f"DROP TABLE t{number};", "UPDATE orders SET a = NULL;\n" * 20]),
        "validation_query": chance.choice(["", CHECKS.get(dialect, "SELECT 1;").format(f"t{number}")]),
        "transactional": chance.choice([True, False]),
        "reversibility": "lossy" if lossy else "lossless",
        "data_loss": "old values" if lossy else None,
        "lock": chance.choice([None, "ACCESS EXCLUSIVE"]),
    }


def some_specification(chance: random.Random, engine: str) -> Dict[str, Any]:
    """Return a specification in which any part may be missing."""
    flag = {"name": "new_way", "initial_percentage": 0, "rollout_schedule": [{"percentage": 5, "duration_hours": 4}]}
    parts = {
        "source": {"engine": engine, "name": "Old", "managed": chance.random() < 0.3, "location": "aws"},
        "target": {"engine": chance.choice(ENGINES), "name": "New"},
        "constraints": {
            "data_volume_gb": chance.choice([0, 0.5, 900]),
            "max_downtime_minutes": chance.choice([0, 30]),
            "special_requirements": ["zero_data_loss"],
            "dependencies": [{"name": "shop", "depends_on": ["db"]}, "billing"],
            "compliance_requirements": ["GDPR", "SOX"],
        },
        "tables_to_migrate": [{"name": "orders", "row_count": 5_000_000}, {"name": "odd name"}],
        "feature_flags": [flag],
        "cutover": {"switch": "dns", "dns_ttl_seconds": 60, "reverse_replication": chance.choice([True, False])},
        "rollback_triggers": [{"metric": "error_rate", "threshold": 0.02, "action": "automatic_rollback"}],
        "business_continuity": {"rto_minutes": 30, "rpo_minutes": 0},
        "service_details": {"legacy_service": {"infrastructure": {"load_balancer": chance.choice(["ALB", "nginx"])}}},
        "schema_changes": [{"table": "orders", "changes": [{"type": "drop_column", "column": "fax"}]}],
        "slo": {"availability": 0.999},
    }
    return {key: value for key, value in parts.items() if chance.random() < 0.6}


def some_plan(seed: int) -> Dict[str, Any]:
    """Return a plan of any pattern: phases of the planner or of nobody, in any order, with or without scripts."""
    chance = random.Random(seed)
    engine = chance.choice(ENGINES)
    usual = chance.random() < 0.7
    names = chance.sample(NAMES if usual else ["Vorbereitung", "cut over", "cut-over", "移行", "phase {x}"], k=4)
    numbers = iter(range(1, 100))
    phases = []
    for place, name in enumerate(names):
        scripts = [some_script(chance, next(numbers), name, engine) for _ in range(chance.choice([0, 0, 1, 9]))]
        phase: Dict[str, Any] = {
            "name": name,
            "dependencies": chance.sample(names[:place], k=chance.randint(0, min(place, 2))),
            "scripts": scripts,
            "rollback_triggers": chance.choice([[], ["Users report wrong totals"], ["error_rate > 0.01 for 5 min"]]),
            "point_of_no_return": chance.random() < 0.2,
        }
        if usual and chance.random() < 0.8:
            phase["recovery"] = {"steps": "take it back", "minutes": {"likely": 7}, "data_at_risk": "none"}
        phases.append(phase)
    plan = {
        "phases": phases,
        "pattern": chance.choice(PATTERNS),
        "migration_type": chance.choice(["database", "service", "infrastructure", "unknown"]),
        "source_system": chance.choice(["Old shop", "PostgreSQL 13 shop", ""]),
        "target_system": chance.choice(["New shop", "Kubernetes shop", ""]),
        "specification": some_specification(chance, engine),
        "waves": chance.choice([[], [{"wave": 1, "workloads": ["a", "b"]}]]),
    }
    return {key: value for key, value in plan.items() if key == "phases" or chance.random() < 0.85}


def read(plan: Any) -> Any:
    text = json.dumps(plan)
    return rollback.read_plan(rollback.Document("plan.json", text, json.loads(text), "0" * 64))


def book_of(plan: Any, started: Any = None, **facts: Any) -> Dict[str, Any]:
    document = rollback.Document("plan.json", "", plan, "0" * 64)
    return json.loads(rollback.to_json(rollback.assemble(read(plan), started, facts, (document,))))


def steps(book: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [step for phase in book["rollback_phases"] for step in phase["steps"]]


@pytest.fixture(scope="module", params=SEEDS)
def made(request: Any) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    plan = some_plan(request.param)
    return plan, book_of(plan)


def test_runbook_is_valid(made: Any) -> None:
    assert [str(problem) for problem in problems(made[1], read_schema("rollback_runbook"))] == []


def test_phases_stand_in_an_order_that_the_dependencies_allow(made: Any) -> None:
    plan, book = made
    place = {phase["forward_phase"]: n for n, phase in enumerate(book["rollback_phases"])}
    assert sorted(place) == sorted(phase["name"] for phase in plan["phases"])
    assert all(place[phase["name"]] < place[need] for phase in plan["phases"] for need in phase["dependencies"])


def test_each_undo_is_one_step_and_the_last_comes_first(made: Any) -> None:
    plan, book = made
    by_name = {phase["name"]: phase for phase in plan["phases"]}
    for phase in book["rollback_phases"]:
        scripts = by_name[phase["forward_phase"]]["scripts"]
        wanted = [s["id"] for s in scripts if s["rollback_script"] or s["script_type"] != "sql"][::-1]
        assert [step["source_script_id"] for step in phase["steps"] if step["source_script_id"]] == wanted


def test_step_ids_are_unique_and_what_they_need_came_before(made: Any) -> None:
    seen: List[str] = []
    for step in steps(made[1]):
        assert step["step_id"] not in seen and set(step["dependencies"]) <= set(seen), step["step_id"]
        seen.append(step["step_id"])


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_blanks_shown_are_the_blanks_listed(made: Any, form: str) -> None:
    """A person meets no blank that the list leaves out, and the list names none that stands nowhere."""
    shown = rollback.RENDERERS[form](made[1]).replace("\\_", "_")
    listed = [entry["name"] for entry in made[1]["placeholders"]]
    assert len(listed) == len(set(listed)) and all(entry["how_to_obtain"] for entry in made[1]["placeholders"])
    assert set(re.findall(r"\{\{(\w+)\}\}", shown)) == set(listed)


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_every_form_shows_every_step_once(made: Any, form: str) -> None:
    shown = rollback.RENDERERS[form](made[1])
    found = re.findall(r"(?m)(?:\[ \] (?:\*\*)?|\"> )(rb-[\w-]+-\d\d)  ", shown)
    assert sorted(found) == sorted(step["step_id"] for step in steps(made[1]))


def test_time_is_the_sum_of_its_parts(made: Any) -> None:
    rto, phases = made[1]["rto"], made[1]["rollback_phases"]
    assert rto["minutes"] == pytest.approx(sum(rto["components"].values()), abs=0.2)
    assert rto["components"]["execute"] == pytest.approx(
        sum(step["estimated_duration_minutes"] for step in steps(made[1])), abs=0.2
    )
    by_phase = [rto["by_from_phase"][phase["forward_phase"]] for phase in phases]
    assert by_phase == sorted(by_phase, reverse=True) and by_phase[0] == rto["minutes"]


def test_earlier_failure_has_the_end_of_the_same_runbook(made: Any) -> None:
    plan, whole = made
    ids = [step["step_id"] for step in steps(whole)]
    for place, phase in enumerate(whole["rollback_phases"]):
        book = book_of(plan, phase["forward_phase"])
        assert [step["step_id"] for step in steps(book)] == ids[len(ids) - len(steps(book)) :]
        assert len(book["rollback_phases"]) == len(whole["rollback_phases"]) - place


def test_commands_hold_nothing_invented(made: Any) -> None:
    for step in steps(made[1]):
        if not step["source_script_id"]:
            text = json.dumps([step["script_content"], step["precheck"], step["verify"]])
            assert not re.search(r"\bTBD\b|\bXXX\b|example\.(com|org)|TODO|@\w+@", text), step
        if step["script_type"] == "bash":
            assert not re.search(r"(?<![{$'])\{[a-z_]+\}(?!\})", step["script_content"]), step


def test_no_engine_is_given_the_words_of_another(made: Any) -> None:
    """SQL that only PostgreSQL knows is run on PostgreSQL: where nobody names the engine, words have to do."""
    plan, book = made
    for step in steps(book):
        if not step["source_script_id"] and "pg_stat_activity" in step["script_content"]:
            assert step["client"].startswith("psql"), step
            assert "postgres" in json.dumps([plan.get(k) for k in ("source_system", "specification")]).lower(), step


def test_point_of_no_return_is_said_where_it_stands(made: Any) -> None:
    book = made[1]
    past = [phase for phase in book["rollback_phases"] if phase["past_point_of_no_return"]]
    point = book["point_of_no_return"]["phase"]
    assert [phase["forward_phase"] for phase in past][-1:] == ([point] if point else [])
    final = [phase for phase in book["rollback_phases"] if phase["reversible"] == "no"]
    assert rollback.render_text(book).count("POINT OF NO RETURN: ") == len(final)
    assert bool(final) == bool(point)


def test_executable_means_that_nothing_is_open(made: Any) -> None:
    book = made[1]
    execution = [entry for entry in book["placeholders"] if entry["required_for"] == "execution"]
    assert not execution or not book["readiness"]["executable"]
    filled = {entry["name"]: "x" for entry in book["placeholders"]}
    again = book_of(made[0], None, loss_accepted_by="x", **filled)
    assert again["placeholders"] == []
    said = ("has no undo", "the plan names tasks")
    assert [b for b in again["readiness"]["blockers"] if not any(word in b for word in said)] == []


def test_every_blank_of_the_script_says_where_it_comes_from() -> None:
    """No blank that the generator writes falls back to `the author of the plan`."""
    text = Path(sys.modules["rollback_generator"].__file__ or "").read_text(encoding="utf-8")
    given = {"name", "words", "placeholder", "shown", "traffic_back_command"}  # no blank, or one that is always filled
    names = set(re.findall(r"\{\{([a-z]\w+)\}\}", text)) - given
    assert {name for name in names if rollback.how_to_obtain(name).startswith("the author")} == set()


OLD = {
    "migration_id": "0a1b2c3d4e5f",
    "source_system": "Monolith",
    "target_system": "Services",
    "phases": [
        {"name": "preparation", "description": "Prepare", "tasks": ["Back up", "Tell people"], "dependencies": []},
        {
            "name": "cutover",
            "description": "Switch",
            "tasks": ["Switch DNS"],
            "dependencies": ["preparation"],
            "rollback_triggers": ["Error rate above normal", "error_rate > 0.05"],
            "validation_criteria": ["Traffic is on the new side"],
        },
    ],
    "rollback_plan": {"rollback_phases": [{"phase": "rollback_cutover", "rollback_actions": ["Revert"]}]},
}


def test_old_plan_is_undone_task_by_task() -> None:
    """What nobody wrote down is unknown: such a runbook is no promise of a way back without loss."""
    book = book_of(OLD)
    assert not book["readiness"]["executable"] and book["rpo"]["seconds"] is None
    assert "unknown" in book["point_of_no_return"]["reason"]
    assert [step["script_content"] for step in steps(book)] == [
        "Reverse by hand: Switch DNS",
        "Reverse by hand: Tell people",
        "Reverse by hand: Back up",
    ]
    assert [t["condition"] for t in book["trigger_conditions"]] == ["error_rate > 0.05"]
    assert book["watched_by_people"] == [{"condition": "Error rate above normal", "watched_in_phases": ["cutover"]}]
    assert "somebody sees: Error rate above normal" in rollback.render_text(book)


def change(*path: Any, to: Any) -> Any:
    def apply(plan: Any) -> None:
        for key in path[:-1]:
            plan = plan[key]
        if to is DELETED:
            del plan[path[-1]]
        else:
            plan[path[-1]] = to

    return apply


DELETED = object()
SCRIPT = {"id": "1", "rollback_script": "x"}
DAMAGED = [
    (change("phases", to=DELETED), "phases: found null"),
    (change("phases", to=[]), "phases: found an empty list"),
    (change("phases", to={"a": 1}), "phases: found an object"),
    (change("phases", 0, to="preparation"), "phases[0]: found"),
    (change("phases", 0, "name", to=DELETED), "phases[0].name"),
    (change("phases", 1, "name", to="preparation"), "a name that no other phase has"),
    (change("phases", 1, "dependencies", to=["preparatoin"]), "did you mean 'preparation'"),
    (change("phases", 1, "dependencies", to="preparation"), "phases[1].dependencies"),
    (change("phases", 0, "scripts", to=[SCRIPT, SCRIPT]), "an id that no other script has"),
    (change("phases", 0, "scripts", to=["DROP TABLE a"]), "phases[0].scripts[0]"),
    (change("phases", 0, "duration_hours", to="8 h"), "phases[0].duration_hours"),
    (change("specification", to=["x"]), "specification"),
]


@pytest.mark.parametrize("damage, told", DAMAGED)
def test_damaged_plan_is_named_by_its_fault(damage: Any, told: str) -> None:
    plan = json.loads(json.dumps(OLD))
    damage(plan)
    with pytest.raises(rollback.InputError) as caught:
        book_of(plan)
    assert any(told in line and line.startswith("plan.json:") for line in caught.value.args), caught.value.args


def test_cleanup_that_removes_no_data_loses_none() -> None:
    """The archive is what makes a cleanup final: without one nothing is restored, and nobody has to accept a loss."""
    recovery = {"steps": "from the last backup only", "data_at_risk": "none while this phase runs"}
    phase = {"name": "cleanup", "recovery": recovery, "point_of_no_return": False}
    assert book_of({"phases": [phase]})["rpo"]["seconds"] == 0
    recovery["data_at_risk"] = "purging the archive"
    book = book_of({"phases": [{**phase, "point_of_no_return": True}]})
    assert book["rpo"]["seconds"] is None and "purging the archive" in book["rpo"]["reason"]


def test_undo_of_an_api_is_a_patch_that_can_be_copied() -> None:
    patch = json.dumps([{"op": "remove", "path": f"/paths/{n}"} for n in range(20)], indent=2)
    script = {"id": "api-001", "script_type": "api", "rollback_script": patch, "validation_query": None}
    book = book_of({"phases": [{"name": "implement", "scripts": [script]}]})
    (step,) = steps(book)
    assert (step["script_type"], step["client"], json.loads(step["script_content"])) == ("api", None, json.loads(patch))
    assert f"\n{patch}\n" in rollback.render_text(book)


def test_phases_that_need_each_other_are_a_cycle() -> None:
    plan = json.loads(json.dumps(OLD))
    plan["phases"][0]["dependencies"] = ["cutover"]
    with pytest.raises(rollback.InputError, match="cycle"):
        book_of(plan)


def test_specification_edited_in_the_plan_is_seen() -> None:
    plan = json.loads((ASSETS / "expected" / "service_plan.json").read_text(encoding="utf-8"))
    assert not any("edited" in line for line in book_of(plan)["inconsistencies"])
    plan["specification"]["constraints"]["max_downtime_minutes"] = 99
    assert any("edited" in line for line in book_of(plan)["inconsistencies"])
