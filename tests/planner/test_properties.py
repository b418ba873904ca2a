"""What must hold for every specification, tried on three hundred generated ones."""

import copy
import datetime
import json
import re
from typing import Any, Callable, Dict, Iterator, List

import pytest

import migration_planner as planner
from json_schema import problems, read_schema
from planning import Planned, make, text_of
from spec_generator import generate

SPECS = 320
GROUP = 20
START = "2026-03-02T09:00"
RUNS = 40  # properties, not figures, are looked at
groups = pytest.mark.parametrize("first", range(0, SPECS, GROUP))
Spec = Dict[str, Any]


def planned(number: int) -> Planned:
    found = make(generate(number), RUNS, START, seed=1)
    assert not found.refused, (number, found.refused)
    return found


@pytest.fixture(scope="module", params=range(0, SPECS, GROUP), ids=lambda first: f"from {first}")
def group(request: pytest.FixtureRequest) -> Dict[int, Planned]:
    """Return twenty plans by the number of their specification."""
    return {number: planned(number) for number in numbers(request.param)}


def numbers(first: int, step: int = 1) -> range:
    return range(first, first + GROUP, step)


# The documents


PIECE = re.compile(r'\.?([^\W\d][\w-]*)|\[(\d+|"(?:[^"\\]|\\.)*")\]')


def resolve(spec: Any, path: str) -> Any:
    """Return what stands at a path as the plan prints it."""
    here = spec
    for name, index in PIECE.findall("" if path == "$" else path):
        here = here[name or json.loads(index)]
    return here


def faults_of(document: Dict[str, Any], spec: Spec) -> Iterator[str]:
    """Yield each promise of a plan that this one breaks."""
    gates = {gate["id"] for phase in document["phases"] for gate in phase["gates"]}
    tasks = [item for phase in document["phases"] for item in phase["task_details"]]
    ids = [item["id"] for item in tasks]
    names = [phase["name"] for phase in document["phases"]]
    yield from (f"phase {name} twice" for name in names if names.count(name) > 1)
    yield from (f"task {name} twice" for name in ids if ids.count(name) > 1)
    for phase in document["phases"]:
        yield from faults_of_phase(phase, names)
    for item in tasks:
        if not all(item[key].strip() for key in ("title", "action", "done_when", "owner")):
            yield f"task {item['id']} says too little"
        if not set(item["depends_on"]) <= set(ids):
            yield f"task {item['id']} waits for {item['depends_on']}"
        if not item["hours"]["optimistic"] <= item["hours"]["likely"] <= item["hours"]["pessimistic"]:
            yield f"task {item['id']} has hours {item['hours']}"
        if not item["start"] <= item["end"]:
            yield f"task {item['id']} ends before it starts"
    for risk in document["risks"]:
        fact = risk["because"]
        value = resolve(spec, fact["path"])
        shown = value if isinstance(value, (str, int, float, bool)) else planner.describe(value)
        if shown != fact["value"]:
            yield f"risk {risk['id']}: {fact['path']} is {shown!r}, not {fact['value']!r}"
        yield from (f"risk {risk['id']} names {name}" for name in risk["gate_ids"] if name not in gates)
    for row in document["compliance"]["controls"]:
        resolve(spec, row["applies_because"]["path"])
        if row["phase"] not in names or row["task_id"] and row["task_id"] not in ids:
            yield f"control {row['reference']} stands nowhere"
    for row in document["communication"]["raci"]:
        if not isinstance(row["accountable"], str) or not row["responsible"]:
            yield f"RACI row {row}"
    yield from (f"line {row['id']} has no gate" for row in document["go_no_go"] if row["gate_id"]
                and row["gate_id"] not in gates)


def faults_of_phase(phase: Dict[str, Any], names: List[str]) -> Iterator[str]:
    if not phase["gates"] or not all(gate["how"].strip() for gate in phase["gates"]):
        yield f"{phase['name']}: no gate or no way to measure it"
    if not phase["rollback_triggers"] and not phase["no_trigger_reason"]:
        yield f"{phase['name']}: nothing stops it and no reason is given"
    if phase["recovery"]["kind"] not in ("rollback", "roll_forward", "restore", "none"):
        yield f"{phase['name']}: recovery {phase['recovery']}"
    if not set(phase["dependencies"]) <= set(names[: names.index(phase["name"])]):
        yield f"{phase['name']} waits for {phase['dependencies']}"
    if not phase["tasks"]:
        yield f"{phase['name']}: nothing to do"


def test_plans_keep_their_promises(group: Dict[int, Planned]) -> None:
    for number, found in group.items():
        assert list(faults_of(found.document, generate(number))) == [], number


def test_quantiles_rise(group: Dict[int, Planned]) -> None:
    for number, found in group.items():
        document = found.document
        rows = [document["duration"]["path_hours"], document["duration"]["calendar_days"],
                document["downtime"]["minutes"]]
        rows += [phase["duration_range_hours"] for phase in document["phases"]]
        for row in rows:
            assert 0 <= row["p50"] <= row["p80"] <= row["p95"], number
        success = document["success_probability"]
        low, high = success["interval_80"]
        assert 0 <= low <= success["probability"] <= high <= 1


MERMAID = re.compile(r"    [A-Za-z0-9 ()-]+( :[a-z0-9_, T:-]+)?", re.IGNORECASE)


def test_texts_say_nothing_empty_and_fit(group: Dict[int, Planned]) -> None:
    for number, found in group.items():
        text = text_of(found)
        assert not re.search(r"Complete \w+ activities|\bNone\b|\bnan\b|\{\w+\}(?!\})",
                             re.sub(r"\{id\}|\{\{\w+\}\}", "", text)), number
        assert [line for line in text.splitlines() if len(line) > 80 and " " in line.strip()[:70]] == []
        rows = planner.mermaid_lines(found.plan)[4:]
        assert [row for row in rows if not MERMAID.fullmatch(row)] == []


def test_plans_fit_their_schema(group: Dict[int, Planned]) -> None:
    schema = read_schema("migration_plan")
    spec_schema = read_schema("migration_spec")
    for number, found in list(group.items())[::10]:
        assert [str(problem) for problem in problems(found.document, schema)] == [], number
        assert [str(problem) for problem in problems(generate(number), spec_schema)] == [], number


@groups
def test_same_seed_gives_the_same_bytes(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    for number in numbers(first, 10):
        one, two = (planner.to_json(planned(number).document) for _ in range(2))
        assert one == two


# One fact changes


def hours_of(spec: Spec) -> Any:
    """Return the copy estimate of a specification without planning it."""
    text = json.dumps(spec)
    document = planner.Document("spec.json", text, spec, "")
    facts, _ = planner.read_spec(document, planner.Faults(document))
    return planner.copy_estimate(facts).hours


def changed(number: int, edit: Callable[[Spec], Any]) -> Spec:
    spec = copy.deepcopy(generate(number))
    edit(spec)
    return spec


def double(spec: Spec) -> None:
    spec["constraints"]["data_volume_gb"] *= 2
    for row in spec.get("tables_to_migrate", []):
        row["size_mb"] *= 2
    for row in spec.get("workloads", []):
        row["size_gb"] *= 2


@groups
def test_more_data_is_never_copied_faster(first: int) -> None:
    for number in numbers(first):
        less, more = hours_of(generate(number)), hours_of(changed(number, double))
        assert all(before <= after for before, after in zip(less[:3], more[:3])), number
        assert less[1] < more[1], number


@groups
def test_more_bandwidth_never_takes_longer(first: int) -> None:
    for number in numbers(first):
        rows = [hours_of(changed(number, lambda spec: spec.update(network={"bandwidth_gbps": speed})))
                for speed in (0.1, 1, 40)]
        assert all(fast <= slow for one, two in zip(rows, rows[1:]) for slow, fast in zip(one[:3], two[:3])), number
        assert rows[0][1] > rows[-1][1], number


@groups
def test_shorter_outage_is_never_likelier_kept(first: int) -> None:
    for number in numbers(first, 10):
        rows = []
        for minutes in (240, 30, 1, 0):
            spec = changed(number, lambda spec: spec["constraints"].update(max_downtime_minutes=minutes))
            document = make(spec, RUNS, seed=1).document
            way = (document["pattern_selection"]["tracks"], document["downtime"]["parts"])
            rows.append((way, document["success_probability"]["probability"]))
        for (before, more), (after, less) in zip(rows, rows[1:]):
            assert less <= more or before != after, number  # another pattern or way to switch is another migration


@groups
def test_shifted_zone_moves_the_times_in_utc_and_nothing_else(first: int) -> None:
    for number in numbers(first, 10):
        plans = []
        for zone in ("+00:00", "+03:00"):
            spec = changed(number, lambda spec: spec.pop("business_continuity", None))
            spec["team"] = {**spec.get("team", {}), "timezone": zone}
            plans.append(make(spec, RUNS, START, seed=1).document)
        here, there = plans
        assert here["duration"] == there["duration"] and here["downtime"] == there["downtime"]
        for one, two in zip(here["phases"], there["phases"]):
            first_time, second_time = (datetime.datetime.fromisoformat(p["start"].rstrip("Z")) for p in (one, two))
            assert first_time - second_time == datetime.timedelta(hours=3), number


def test_generated_specifications_reach_every_pattern() -> None:
    seen = set()
    for number in range(0, SPECS, 2):
        spec = generate(number)
        text = json.dumps(spec)
        facts, _ = planner.read_spec(planner.Document("", text, spec, ""),
                                     planner.Faults(planner.Document("", text, spec, "")))
        copy_time = planner.copy_estimate(facts)
        seen |= set(planner.choose(facts, copy_time, planner.machine_times(facts, copy_time), ()).tracks)
    assert seen == set(planner.PATTERNS)
