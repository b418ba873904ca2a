"""Planning in this process, for tests that need many plans: what the command line does, without its start."""

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import migration_planner as planner
from running import ASSETS


class Planned(NamedTuple):
    """The plan of a specification, or the reasons why there is none."""

    document: Dict[str, Any]
    findings: List[Dict[str, Any]]
    refused: List[str]
    plan: Any

    def found(self, code: str) -> List[Dict[str, Any]]:
        return [row for row in self.findings if row["code"] == code]


def read(path: Path) -> Dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def example(letter: str) -> Dict[str, Any]:
    """Return one of the five examples by its letter."""
    return read(next((ASSETS / "examples").glob(f"{letter.lower()}_*.json")))


def make(
    spec: Dict[str, Any], runs: int = 100, start: Optional[str] = None, seed: Optional[int] = None
) -> Planned:
    """Plan a specification."""
    text = json.dumps(spec)
    document = planner.Document("spec.json", text, json.loads(text), "0" * 64)
    options = planner.build_parser().parse_args(["-i", "spec.json"])
    options.simulations, options.start, options.seed = runs, start, seed
    given, refused = planner.read_inputs_of(document, [], None, options)
    if given is None:
        return Planned({}, [], refused, None)
    try:
        computed = planner.compute(given)
    except planner.Unplannable as error:
        return Planned({}, [planner.finding_document(row) for row in error.args[0]], [], None)
    plan = planner.make_plan(given, computed)
    return Planned(plan.document, plan.document["findings"], [], plan)


def text_of(planned: Planned) -> str:
    return planner.render_text(planned.plan)
