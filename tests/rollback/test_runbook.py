"""What a person who has never seen the system needs: every step runnable, in the right order, nothing left open."""

import html.parser
import itertools
import json
import random
import re
import shlex
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
import rollback_generator as rollback
from running import ASSETS, SCRIPTS, Done, execute
from undo_live import exported, make, shellcheck

PATTERNS = {  # pattern: type of the specification, whose sample the rest comes from
    "expand_contract": "database",
    "parallel_schema": "database",
    "event_sourcing": "database",
    "dual_write": "database",
    "cdc": "database",
    "data_migration": "database",
    "strangler_fig": "service",
    "parallel_run": "service",
    "blue_green": "service",
    "canary": "service",
    "lift_and_shift": "infrastructure",
    "hybrid_cloud": "infrastructure",
    "multi_cloud": "infrastructure",
}
PLANS: Dict[str, Dict[str, Any]] = {}


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Dict[str, Any]]:
    """Return a plan of each pattern, made from the sample of its type."""
    folder = tmp_path_factory.mktemp("plans")
    for pattern, kind in PATTERNS.items():
        spec = json.loads((ASSETS / f"sample_{kind}_migration.json").read_text(encoding="utf-8"))
        spec["constraints"]["max_downtime_minutes"] = 2000  # not every pattern fits its outage and its
        spec["constraints"].pop("deadline", None)  # windows, which is not the question here
        spec.pop("business_continuity", None)
        (folder / "spec.json").write_text(json.dumps({**spec, "pattern": pattern}), encoding="utf-8")
        done = make("migration_planner", "-i", folder / "spec.json", "-q", "-f", "json")
        assert done.code == 0, done.err
        PLANS[pattern] = done.json
    return PLANS


def generate(folder: Path, plan: Any, *options: str) -> Done:
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    return make("rollback_generator", "-i", folder / "plan.json", "-q", *options)


def runbook(folder: Path, plan: Any, *options: str) -> Dict[str, Any]:
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    command = ["-i", str(folder / "plan.json"), "-q", "-f", "json", "-o", str(folder / "book.json"), *options]
    assert rollback.run(rollback.TOOL, rollback.main, command) == 0
    return json.loads((folder / "book.json").read_text(encoding="utf-8"))


def steps(book: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [step for phase in book["rollback_phases"] for step in phase["steps"]]


def test_every_phase_of_every_pattern_has_its_own_steps(plans: Dict[str, Any], tmp_path: Path) -> None:
    """No phase of the planner falls back to a general sentence; each step says who does it and what ends it."""
    for pattern, plan in plans.items():
        for phase in rollback.ordered(rollback.read_plan(rollback.Document("plan", "", plan, "0" * 64))):
            known = rollback.phase_actions(rollback.read_plan(rollback.Document("plan", "", plan, "0" * 64)), phase)
            assert known or phase.scripts or phase.name in ("expand", "contract"), (pattern, phase.name)
        for step in steps(runbook(tmp_path, plan)):
            assert step["script_content"].strip() and step["expected_output"] and step["owner_role"], step
            assert step["timeout_seconds"] > 0 and step["abort_if"] and step["failure_escalation"], step
            assert not re.search(r"@\w+@", json.dumps(step)), step


def test_commands_hold_no_invented_name(plans: Dict[str, Any], tmp_path: Path) -> None:
    for plan in plans.values():
        book = runbook(tmp_path, plan)
        listed = [entry["name"] for entry in book["placeholders"]]
        assert len(listed) == len(set(listed))
        for step in steps(book):
            text = json.dumps([step["script_content"], step["precheck"], step["verify"]])
            assert not re.search(r"\bTBD\b|\bXXX\b|example\.(com|org)|TODO", text), step
            assert set(re.findall(r"\{\{(\w+)\}\}", text)) <= set(listed), step
            if step["script_type"] == "bash":
                assert not re.search(r"(?<![{$'])\{[a-z_]+\}(?!\})", text), step


@pytest.mark.live
def test_bash_steps_pass_shellcheck(plans: Dict[str, Any], tmp_path: Path) -> None:
    count = itertools.count()
    for plan in plans.values():
        for step in steps(runbook(tmp_path, plan)):
            if step["script_type"] == "bash":
                content = "#!/usr/bin/env bash\n" + step["script_content"] + "\n"
                (tmp_path / f"{next(count)}.sh").write_text(content, encoding="utf-8")
    files = sorted(tmp_path.glob("*.sh"))
    assert files and shellcheck(*files) == ""


def test_order_undoes_what_depends_on_a_phase_before_the_phase(plans: Dict[str, Any], tmp_path: Path) -> None:
    for plan in plans.values():
        place = {phase["forward_phase"]: n for n, phase in enumerate(runbook(tmp_path, plan)["rollback_phases"])}
        for phase in plan["phases"]:
            assert all(place[phase["name"]] < place[need] for need in phase["dependencies"]), phase["name"]


def test_later_start_only_adds_steps_before(plans: Dict[str, Any], tmp_path: Path) -> None:
    """The runbook of phase k ends with the one of phase k - 1, and its time is never shorter."""
    plan = plans["strangler_fig"]
    order = [phase["forward_phase"] for phase in runbook(tmp_path, plan)["rollback_phases"]][::-1]
    before: List[str] = []
    minutes = 0.0
    for name in order:
        book = runbook(tmp_path, plan, "--from-phase", name)
        ids = [step["step_id"] for step in steps(book)]
        assert ids[len(ids) - len(before) :] == before and len(ids) > len(before)
        assert book["rto"]["minutes"] >= minutes
        before, minutes = ids, book["rto"]["minutes"]


def test_sums_agree(plans: Dict[str, Any], tmp_path: Path) -> None:
    for plan in plans.values():
        book = runbook(tmp_path, plan)
        for phase in book["rollback_phases"]:
            total = sum(step["estimated_duration_minutes"] for step in phase["steps"])
            assert phase["estimated_duration_minutes"] == pytest.approx(total)
        assert sum(book["rto"]["components"].values()) == pytest.approx(book["rto"]["minutes"], abs=0.5)


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_every_form_carries_the_same_steps(plans: Dict[str, Any], tmp_path: Path, form: str) -> None:
    plan = plans["cdc"]
    shown = generate(tmp_path, plan, "-f", form).out
    found = re.findall(r"(?m)(?:\[ \] (?:\*\*)?|\"> )(rb-[\w-]+-\d\d)", shown)
    assert found == [step["step_id"] for step in steps(runbook(tmp_path, plan))]


HOSTILE = "<script>alert(1)</script> ``` \x1b[31m {{nope}} $(rm -rf /) '; DROP TABLE t; --"


class Tags(html.parser.HTMLParser):
    """Collects what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: List[Tuple[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, dict(attrs)))


def hostile_plan() -> Dict[str, Any]:
    phase = {"name": HOSTILE, "description": HOSTILE, "tasks": [HOSTILE], "recovery": {"steps": HOSTILE}}
    specification = {"feature_flags": [{"name": HOSTILE}], "constraints": {"dependencies": [HOSTILE]}}
    return {"migration_id": HOSTILE, "source_system": HOSTILE, "phases": [phase], "specification": specification}


def test_page_needs_nothing_else_and_runs_nothing(tmp_path: Path) -> None:
    tags = Tags()
    page = generate(tmp_path, hostile_plan(), "-f", "html").out
    tags.feed(page)
    assert {"script", "link", "img", "iframe"} & {tag for tag, _ in tags.seen} == set()
    assert not [attrs for _, attrs in tags.seen if {"src", "href", "onclick"} & set(attrs)]
    assert "\x1b" not in page and "@media print" in page


@pytest.mark.live
def test_names_from_the_plan_stay_data_in_the_script(tmp_path: Path) -> None:
    kit = exported(tmp_path / "kit", hostile_plan())
    assert shellcheck(kit.folder / "rollback.sh") == ""
    assert execute(["bash", "-n", kit.folder / "rollback.sh"]).code == 0


def test_message_with_an_open_blank_is_refused(plans: Dict[str, Any], tmp_path: Path) -> None:
    plan = plans["strangler_fig"]
    refused = generate(tmp_path, plan, "--message", "customers:start")
    assert (refused.code, refused.out) == (1, "")
    assert "{{next_update_utc}} is open" in refused.err and "{{status_page_url}} is open" in refused.err
    blanks = ["--fill", "next_update_utc=03:20Z", "--fill", "status_page_url=status"]
    told = generate(tmp_path, plan, "--message", "customers:start", *blanks)
    assert told.code == 0 and "03:20Z" in told.out and "{{" not in told.out
    assert "Legacy User Service" not in told.out  # no internal names to customers
    assert generate(tmp_path, plan, "--message", "custmers:start").code == 3


def test_messages_reach_every_audience_at_every_stage(plans: Dict[str, Any], tmp_path: Path) -> None:
    drafts = runbook(tmp_path, plans["strangler_fig"])["communication_templates"]
    pairs = {(draft["audience"], draft["stage"]) for draft in drafts}
    assert len(pairs) == 26
    regulator = next(draft["text"] for draft in drafts if draft["audience"] == "regulator")
    assert "{{awareness_utc}} + 72 h" in regulator and "users.email" in regulator and "{{dpo_contact}}" in regulator
    support = next(draft["text"] for draft in drafts if (draft["audience"], draft["stage"]) == ("support", "start"))
    assert "POST /api/v2/auth/refresh" in support  # only the new side answers it


def test_flag_command_of_the_inventory_makes_the_step_run_by_itself(plans: Dict[str, Any], tmp_path: Path) -> None:
    inventory = {"flag_off_command": 'flagctl set "$FLAG" "$PERCENTAGE"', "executor_url": "http://127.0.0.1:9/"}
    inventory["flag_check_command"] = "flagctl get"
    (tmp_path / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
    book = runbook(tmp_path, plans["strangler_fig"], "--inventory", str(tmp_path / "inventory.json"))
    flag = next(step for step in steps(book) if "route_writes_to_v2" in step["name"])
    assert flag["script_type"] == "bash" and "flagctl set" in flag["script_content"]


def test_drill_replaces_the_assumption(plans: Dict[str, Any], tmp_path: Path) -> None:
    drill = {"restore_drill": {"date": "2026-01-02", "bytes": 4e12, "seconds": 1000}}
    (tmp_path / "inventory.json").write_text(json.dumps(drill), encoding="utf-8")
    book = runbook(tmp_path, plans["lift_and_shift"], "--inventory", str(tmp_path / "inventory.json"))
    assert (
        "4260 GB at 4000 MB/s (drill of 2026-01-02) = 18 min <= 2000 min: viable"
        == (book["data_recovery_plan"]["restore_viability"])
    )


def test_rows_make_the_time(tmp_path: Path) -> None:
    script = {"id": "1", "phase": "migrate", "rollback_script": "UPDATE public.orders SET a = NULL;"}
    plan = {
        "phases": [{"name": "migrate", "scripts": [script]}],
        "specification": {"tables_to_migrate": [{"name": "orders", "row_count": 6_000_000}]},
    }
    step = steps(runbook(tmp_path, plan))[0]
    assert step["estimated_duration_minutes"] == 10.0
    assert step["estimate_basis"] == "computed: 6,000,000 rows / 10,000 rows/s (assumed)"


def test_lossy_script_without_undo_blocks(tmp_path: Path) -> None:
    script = {"id": "9", "reversibility": "lossy", "data_loss": "b", "rollback_script": ""}
    book = runbook(tmp_path, {"phases": [{"name": "contract", "scripts": [script]}]})
    assert "9 of contract loses data and has no undo" in book["readiness"]["blockers"]
    assert book["point_of_no_return"]["step_id"] == "9" and book["point_of_no_return"]["extend_by"]


def test_same_input_gives_the_same_bytes(plans: Dict[str, Any], tmp_path: Path) -> None:
    plan = plans["event_sourcing"]
    outputs = []
    for seed in ("1", "2"):
        (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        command = ["python3", SCRIPTS / "rollback_generator.py", "-i", tmp_path / "plan.json", "-f", "json"]
        env = {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": "1", "TZ": f"UTC{seed}"}
        outputs.append(execute([*command, "--export", tmp_path / seed], env=env).out)
    assert outputs[0] == outputs[1]
    for path in sorted((tmp_path / "1").rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "2" / path.relative_to(tmp_path / "1")).read_bytes(), path


def test_changed_plan_makes_another_runbook(plans: Dict[str, Any], tmp_path: Path) -> None:
    plan = plans["canary"]
    first = runbook(tmp_path, plan)["runbook_id"]
    assert runbook(tmp_path, {**plan, "source_system": "Another"})["runbook_id"] != first


def test_broken_plans_never_end_in_a_traceback(plans: Dict[str, Any], tmp_path: Path) -> None:
    """Take a plan, replace values at random places by the wrong kinds: a runbook, or a fault that is named."""
    chance = random.Random(7)
    odd: List[Any] = [None, 0, -1.5, "", "x", [], [None], {}, {"a": 1}, True, "{{y}}"]
    for _ in range(25):
        plan = json.loads(json.dumps(plans[chance.choice(sorted(plans))]))
        for _ in range(6):
            place: Any = plan
            while isinstance(place, (dict, list)) and place:
                keys = sorted(place) if isinstance(place, dict) else range(len(place))
                key = chance.choice(list(keys))
                if not isinstance(place[key], (dict, list)) or not place[key] or chance.random() < 0.25:
                    place[key] = chance.choice(odd)
                    break
                place = place[key]
        done = generate(tmp_path, plan, "-f", "json", "--export", str(tmp_path / "kit"))
        assert done.code in (0, 1) or (done.code == 3 and "internal error" not in done.err), done.err


def test_value_that_is_filled_in_stays_inside_its_quotes(plans: Dict[str, Any], tmp_path: Path) -> None:
    book = runbook(tmp_path, plans["strangler_fig"], "--fill", "listener_arn=x'; touch /tmp/owned; '")
    step = next(step for step in steps(book) if "modify-listener" in step["script_content"])
    words = shlex.split(step["script_content"])
    assert words[words.index("--listener-arn") + 1] == "x'; touch /tmp/owned; '"


def test_thousands_of_phases_take_no_quadratic_time(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        return min(one_run(count) for _ in range(3))

    def one_run(count: int) -> float:
        phases = [{"name": f"p{n}", "dependencies": [f"p{n - 1}"] if n else []} for n in range(count)]
        start = time.process_time()
        rollback.assemble(rollback.read_plan(rollback.Document("x", "", {"phases": phases}, "0")), None, {}, ())
        return time.process_time() - start

    assert seconds(4000) < 10 * max(seconds(1000), 0.05)  # quadratic: 16


@pytest.mark.parametrize("inventory, place", [
    pytest.param({"backup_location": ["a"]}, "backup_location: found a list", id="list for a text"),
    pytest.param({"contacts": {"DBA": None}}, "contacts.DBA: found null", id="contact that is null"),
    pytest.param({"contacts": "DBA"}, 'contacts: found "DBA"', id="text for an object"),
])
def test_inventory_that_says_no_text_is_refused_at_its_place(inventory: Any, place: str, tmp_path: Path) -> None:
    (tmp_path / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
    done = generate(tmp_path, hostile_plan(), "--inventory", tmp_path / "inventory.json")
    assert done.code == 3 and place in done.err


def test_parsed_source_that_is_no_object_names_no_engine(tmp_path: Path) -> None:
    assert generate(tmp_path, {**hostile_plan(), "parsed": {"source": 1.5}}, "-f", "json").code == 0
