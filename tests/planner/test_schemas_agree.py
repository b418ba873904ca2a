"""The schemas say what the planner does: the same fields, kinds, ranges and choices, and no more."""

import copy
from typing import Any, Callable, Dict, Iterator, Tuple

import pytest

import migration_planner as planner
from json_schema import problems, read_schema
from planning import example, make, read
from running import ASSETS

SPEC, PLAN = read_schema("migration_spec"), read_schema("migration_plan")


def paths(node: Dict[str, Any], path: str = "") -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield the paths of a schema as FIELDS writes them."""
    if path:
        yield path, node
    for option in node.get("oneOf", [node]):
        for name, inner in option.get("properties", {}).items():
            yield from paths(inner, f"{path}.{name}" if path else name)
        if isinstance(option.get("additionalProperties"), dict):
            yield from paths(option["additionalProperties"], f"{path}.*")
        if option.get("items"):
            yield from paths(option["items"], f"{path}[]")


def test_schema_and_fields_name_the_same_places() -> None:
    assert {path for path, _ in paths(SPEC.rules)} == set(planner.FIELDS)


def test_schema_and_fields_set_the_same_bounds() -> None:
    for path, node in paths(SPEC.rules):
        field = planner.FIELDS[path]
        if "number" in field.kinds:
            assert (node.get("minimum"), node.get("maximum")) == (field.low, field.high), path
        if field.choices:
            assert tuple(node["enum"]) == field.choices, path


def test_schema_and_planner_refuse_the_same() -> None:
    wrong: Dict[str, Callable[[Dict[str, Any]], Any]] = {
        "type": lambda spec: spec.update(type="databse"),
        "required": lambda spec: spec.pop("target"),
        "number": lambda spec: spec["constraints"].update(data_volume_gb="much"),
        "negative": lambda spec: spec["constraints"].update(data_volume_gb=-5),
        "bool": lambda spec: spec["team"].update(size=True),
        "clock": lambda spec: spec["business_continuity"]["preferred_migration_window"].update(start="25:00"),
        "pattern": lambda spec: spec.update(pattern="expand_contrakt"),
        "table": lambda spec: spec["tables_to_migrate"].append({"row_count": 4}),
        "date": lambda spec: spec["constraints"].update(deadline="soon"),
        "empty": lambda spec: spec.update(source=""),
    }
    for name, edit in wrong.items():
        spec = copy.deepcopy(example("A"))
        edit(spec)
        assert make(spec).refused, name
        assert list(problems(spec, SPEC)), name


@pytest.mark.parametrize("path", sorted(ASSETS.glob("sample_*_migration.json")), ids=lambda path: path.stem)
def test_sample_and_its_plan_fit_their_schemas(path: Any) -> None:
    spec = read(path)
    assert [str(problem) for problem in problems(spec, SPEC)] == []
    for start in (None, "2026-03-02T09:00"):
        assert [str(problem) for problem in problems(make(spec, start=start).document, PLAN)] == []


@pytest.mark.parametrize("letter", "ABCDE")
def test_example_plan_fits_its_schema(letter: str) -> None:
    for start in (None, "2026-03-02T09:00"):
        assert [str(problem) for problem in problems(make(example(letter), start=start).document, PLAN)] == []


def test_plan_schema_refuses_what_a_plan_never_says() -> None:
    document = make(example("B")).document
    wrong: Dict[str, Callable[[Dict[str, Any]], Any]] = {
        "operator": lambda plan: plan["phases"][0]["gates"][0].update(operator="=~"),
        "no gate": lambda plan: plan["phases"][0].update(gates=[]),
        "two accountable": lambda plan: plan["communication"]["raci"][0].update(accountable=["a", "b"]),
        "level": lambda plan: plan.update(complexity="huge"),
        "new key": lambda plan: plan.update(mood="good"),
        "score": lambda plan: plan["risks"][0].update(score=26),
        "no owner": lambda plan: plan["phases"][0]["task_details"][0].pop("owner"),
        "probability": lambda plan: plan["success_probability"].update(probability=1.2),
    }
    for name, edit in wrong.items():
        plan = copy.deepcopy(document)
        edit(plan)
        assert list(problems(plan, PLAN)), name
